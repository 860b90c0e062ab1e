"""RANet against MSDNet: anytime and budgeted-batch prediction (RANet, Figures 5 to 7)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from harness.claims import UNCLEAR, Claim, Verdict
from harness.measure import BUDGETED, budgeted, numbers
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
    found = []
    for text, costs, scores in (
        ("anytime: RANet is better at equal multiply-adds", "macs", "exits"),
        (
            "budgeted batch: RANet is better at equal mean multiply-adds",
            "budget_macs",
            "budget_accuracy",
        ),
    ):
        if len(both) < 2:
            found.append(Claim(text, "above everywhere", "", "not run yet"))
            continue
        gains = _gains(both["RANet"], both["MSDNet"], costs, scores)
        error = 100 * 1.96 * (0.25 / int(both["RANet"]["samples"])) ** 0.5  # at most, of one curve
        low, high = min(gains), max(gains)
        verdict: Verdict = UNCLEAR
        if low > error or high < -error:
            verdict = "holds" if low > error else "does not hold"
        ours = f"{low:+.1f} to {high:+.1f} points over {len(gains)} costs"
        found.append(Claim(text, "above everywhere", ours, verdict, "one seed"))
    return found


def _gains(first: Row, second: Row, costs: str, scores: str) -> list[float]:
    """Points by which the first is better at ten costs that both curves span."""
    curves = [(numbers(row[costs]), numbers(row[scores])) for row in (first, second)]
    low = max(min(macs) for macs, _ in curves)
    high = min(max(macs) for macs, _ in curves)
    at = np.linspace(low, high, 10)
    mine, theirs = (np.interp(at, *np.array(sorted(zip(*one, strict=True))).T) for one in curves)
    return [100 * float(gain) for gain in mine - theirs]
