"""The figures that a run keeps: of every epoch, and of its weights in their metadata."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def calibration_columns(figures: dict[str, Any]) -> dict[str, Any]:
    """The calibration columns of a row of `metrics.csv`, from what `metrics_of` gave."""
    exits = figures["exits"]
    return {f"calibration_{name}": [figures[name] for figures in exits] for name in exits[0]}


def last_is_best(
    history: list[dict[str, Any]], complete: Callable[[int], bool] = lambda epoch: True
) -> bool:
    """Whether the last exit has never been better on the calibration split than now.

    Args:
        history: a row for every epoch until now.
        complete: whether an epoch, from 0, counts at all.
    """
    if not complete(len(history) - 1):
        return False
    history = [entry for epoch, entry in enumerate(history) if complete(epoch)]
    if "calibration_accuracy" in history[-1]:
        last = [entry["calibration_accuracy"][-1] for entry in history]
        return bool(last[-1] >= max(last))
    last = [entry["calibration_mae"][-1] for entry in history]
    return bool(last[-1] <= min(last))
