"""RANet against MSDNet: anytime and budgeted-batch prediction (RANet, Figures 5 to 7)."""

from __future__ import annotations

from collections.abc import Sequence

from harness.claims import Claim, above
from harness.measure import BUDGETED, budgeted
from harness.results import Row
from harness.study import Run, Scale, Study

CIFAR = {
    **{"image_size": 32, "epochs": 60, "batch_size": 64, "lr": 0.1, "label_smoothing": 0.0},
    **{"crop_scale": 0.6, "data_licence": "not stated"},
}
PUBLISHED = {"batch_size": 64, "epochs": 300, "image_size": 32, "lr": 0.1, "label_smoothing": 0.0}

STUDY = Study(
    "ranet_cifar10",
    "RANet against MSDNet, ten classes",
    (Run("RANet", "ranet_cifar10", recipe="sgd"), Run("MSDNet", "msdnet_cifar10", recipe="sgd")),
    {"small": Scale("cifar10", CIFAR), "paper": Scale("cifar10", PUBLISHED)},
    budgeted,
    BUDGETED,
)
HUNDRED = Study(
    "ranet_hundred",
    "RANet against MSDNet, a hundred classes",
    (Run("RANet", "ranet_cifar100", recipe="sgd"), Run("MSDNet", "msdnet_cifar100", recipe="sgd")),
    {
        "small": Scale("tinyimagenet100", CIFAR | {"epochs": 30}),
        "paper": Scale("imagenet", PUBLISHED),
    },
    budgeted,
    BUDGETED,
)


def claims(rows: Sequence[Row]) -> list[Claim]:
    """RANet's curve over MSDNet's, where both have points."""
    both = {row["run"]: row for row in rows if row["seed"] == "0"}
    curves = both.get("RANet"), both.get("MSDNet")
    everywhere = "above everywhere"
    return [
        above(
            "anytime: RANet is better at equal multiply-adds", everywhere, *curves, "macs", "exits"
        ),
        above(
            "budgeted batch: RANet is better at equal mean multiply-adds",
            everywhere,
            *curves,
            "budget_macs",
            "budget_accuracy",
        ),
    ]
