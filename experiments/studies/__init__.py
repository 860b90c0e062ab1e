"""One file for each table or figure: its runs, and what a page says of their results."""

from __future__ import annotations

from harness.study import Study

from studies import (
    equal_ram,
    figure5,
    figure6,
    figure7,
    ranet,
    regression,
    rex_search,
    table2,
    table3,
    table4,
    targets,
    training,
)

CLAIMED = (
    table3.STUDY,
    figure6.STUDY,
    ranet.STUDY,
    table4.STUDY,
    table3.WAKE_WORDS,
    training.STUDY,
    figure7.STUDY,
    figure5.STUDY,
    ranet.HUNDRED,
    regression.STUDY,
    table2.STUDY,
)
"""Those that test what a paper claims, in the order in which they are worth having."""

OWN = (rex_search.STUDY, targets.STUDY, equal_ram.STUDY)
"""Those of `docs/rex.md`, which no paper has."""

STUDIES: dict[str, Study] = {study.name: study for study in (*OWN, *CLAIMED)}
"""All, by name."""

FIRST = ("table3", "figure6", "ranet_cifar10", "table4")
"""What everybody asks for."""
