"""The figures that a run keeps: of every epoch, and of its weights in their metadata."""

from __future__ import annotations

from typing import Any

from exeunt.evaluate import ExitTable, exit_rows, replay
from exeunt.policies import Policy


def calibration_columns(figures: dict[str, Any]) -> dict[str, Any]:
    """The calibration columns of a row of `metrics.csv`, from what `figures_of` gave."""
    exits = figures["exits"]
    return {f"calibration_{name}": [figures[name] for figures in exits] for name in exits[0]}


def figures_of(table: ExitTable, policy: Policy | None = None) -> dict[str, Any]:
    """What the metadata says of one split: every exit, and the policy if there is one."""
    figures: dict[str, Any] = {
        "samples": len(table),
        "exits": [_scores(row) for row in exit_rows(table)],
    }
    if policy is not None:
        outcome = replay(table, policy)
        shares = [round(share, 6) for share in outcome.exit_shares]
        figures["policy"] = {
            "spec": policy.spec,
            **_scores(outcome),
            "saving": round(outcome.saving, 6),
            "exit_shares": shares,
        }
    return figures


def _scores(scored: Any) -> dict[str, float]:
    """Those of accuracy, MAE and RMSE that the task has."""
    found = {name: getattr(scored, name) for name in ("accuracy", "mae", "rmse")}
    return {name: round(value, 6) for name, value in found.items() if value is not None}


def last_is_best(history: list[dict[str, Any]]) -> bool:
    """Whether the last exit has never been better on the calibration split than now."""
    if "calibration_accuracy" in history[-1]:
        last = [entry["calibration_accuracy"][-1] for entry in history]
        return bool(last[-1] >= max(last))
    last = [entry["calibration_mae"][-1] for entry in history]
    return bool(last[-1] <= min(last))
