"""Table 2 of the ReX paper: ReX in four networks, here the three that Table 3 has not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.claims import Claim, compared
from harness.measure import CLASSIFICATION, classification
from harness.results import Row
from harness.study import Run, Scale, Study

from studies.recipes import ADAMW, PAPER, PAPER_FORM, SMALL

SMALLER: dict[str, dict[str, Any]] = {  # sizes for small images
    "resnet34": {"widths": (32, 64, 128, 256)},
    "densenet121": {"growth": 16, "width": 32},
    "msdnet": {"stem": "imagenet", "width": 16, "growth": 6, "blocks": 6},
}
PRINTED = {"resnet34": (75.0, 75.8), "densenet121": (75.0, 76.3), "msdnet": (69.6, 71.1)}


def _pair(name: str) -> tuple[Run, Run]:
    args = SMALLER[name]
    rex = {key: value for key, value in args.items() if key != "stem" or name != "msdnet"}
    return (
        Run(name, name, args, ADAMW),
        Run(f"rex_{name}", f"rex_{name}", rex | PAPER_FORM, ADAMW),
    )


STUDY = Study(
    "table2",
    "ReX, Table 2: ResNet-34, DenseNet-121 and MSDNet",
    tuple(run for name in SMALLER for run in _pair(name)),
    {
        "small": Scale("imagenette128", SMALL | {"epochs": 10}),
        "paper": Scale("imagenet", PAPER),
    },
    classification,
    CLASSIFICATION,
)


def claims(rows: Sequence[Row]) -> list[Claim]:
    """Each network with ReX against itself."""
    return [
        compared(
            rows,
            f"{name} is better with ReX, by consistency",
            f"{PRINTED[name][1] - PRINTED[name][0]:+.1f} points",
            (f"rex_{name}", name),
            "right_consistency",
        )
        for name in SMALLER
    ]
