"""One file for each table or figure: its runs, and what a page says of their results."""

from __future__ import annotations

from harness.study import Study

from studies import (
    figure5,
    figure6,
    ranet,
    regression,
    rex_search,
    table2,
    table3,
    table4,
    training,
)

CLAIMED = (
    table3.STUDY,
    figure6.STUDY,
    ranet.STUDY,
    table4.STUDY,
    table3.WAKE_WORDS,
    training.STUDY,
    figure5.STUDY,
    ranet.HUNDRED,
    regression.STUDY,
    table2.STUDY,
)
"""Those that test what a paper claims, in the order in which they are worth having."""

STUDIES: dict[str, Study] = {study.name: study for study in (rex_search.STUDY, *CLAIMED)}
"""All, by name."""

FIRST = ("table3", "figure6", "ranet_cifar10", "table4")
"""What everybody asks for."""
