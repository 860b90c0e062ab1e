"""Table 4 of the ReX paper: the sizes and the parts of ReX."""

from __future__ import annotations

from collections.abc import Sequence

from harness.claims import Claim, compared
from harness.measure import CLASSIFICATION, classification
from harness.results import Row
from harness.study import Run, Study
from table4 import ROWS

from studies.recipes import ADAMW
from studies.table3 import REX
from studies.table3 import STUDY as TABLE3

BASE = REX.name
PRINTED = dict(
    zip(
        (row.name for row in ROWS),
        (70.5, 71.7, 72.0, 71.1, 73.1, 69.7, 70.9, 70.8, 72.8),
        strict=True,
    )
)
RUNS = tuple(
    Run(row.name, "rex_mobilenetv2", {"rex_form": dict(row.change)}, ADAMW)
    for row in ROWS
    if row.change
)

STUDY = Study(
    "table4",
    "ReX, Table 4: its sizes and parts",
    RUNS,
    TABLE3.scales,
    classification,
    CLASSIFICATION,
)


def claims(rows: Sequence[Row], base: Sequence[Row]) -> list[Claim]:
    """Every row against the last, which Table 3 has."""
    together = [*rows, *(row for row in base if row["run"] == BASE)]
    found = []
    for run in RUNS:
        gain = PRINTED[run.name] - PRINTED["Table 1"]
        better = "better" if gain > 0 else "worse"
        found.append(
            compared(
                together,
                f"{run.name}: {better} than Table 1's ReX, at the last exit",
                f"{gain:+.1f} points",
                (run.name, BASE),
                "right_last",
                larger=gain > 0,
            )
        )
    return found
