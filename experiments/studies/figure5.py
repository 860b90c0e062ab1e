"""Figure 5 of the ReX paper: ReX in other modules than the first, and in the exits."""

from __future__ import annotations

from collections.abc import Sequence

from harness.claims import Claim, compared
from harness.measure import CLASSIFICATION, classification
from harness.results import Row
from harness.study import Run, Study

from studies.recipes import ADAMW
from studies.table3 import REX
from studies.table3 import STUDY as TABLE3

EXITS = 5  # internal ones
MODULES = ((2,), (3,), (1, 2), (1, 2, 3))


def _heads(k: int) -> Run:
    kinds = ["rex" if place == k else "pooled" for place in range(1, EXITS + 1)] + ["pooled"]
    return Run(f"exit {k}", "mobilenetv2", {}, ADAMW | {"exit_head": ",".join(kinds)})


def _name(modules: tuple[int, ...]) -> str:
    return "module " + ", ".join(map(str, modules))


STUDY = Study(
    "figure5",
    "ReX, Figure 5: ReX in other modules, and in the exits",
    (
        *(Run(_name(modules), "mobilenetv2", {"rex_at": modules}, ADAMW) for modules in MODULES),
        *map(_heads, range(1, EXITS + 1)),
    ),
    TABLE3.scales,
    classification,
    CLASSIFICATION,
)


def claims(rows: Sequence[Row], others: Sequence[Row]) -> list[Claim]:
    """What the figure says, against the runs of Table 3."""
    together = [*rows, *(row for row in others if row["run"] in (REX.name, "original"))]
    return [
        compared(
            together,
            "the more modules are ReX, the worse the last exit: modules 1, 2 and 3 against 1 alone",
            "worse, more than 10 points",
            (_name((1, 2, 3)), REX.name),
            "right_last",
            larger=False,
        ),
        *(
            compared(
                together,
                f"ReX in module {m} alone costs more accuracy than in module 1",
                "worse",
                (_name((m,)), REX.name),
                "right_last",
                larger=False,
            )
            for m in (2, 3)
        ),
    ]
