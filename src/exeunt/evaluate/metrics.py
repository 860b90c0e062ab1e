"""The figures that weights carry of one split."""

from __future__ import annotations

from typing import Any

from exeunt.evaluate.baseline import baseline
from exeunt.evaluate.exits import exit_rows
from exeunt.evaluate.replay import replay
from exeunt.evaluate.table import ExitTable
from exeunt.policies import Policy


def metrics_of(table: ExitTable, policy: Policy | None = None) -> dict[str, Any]:
    """What the metadata says of one split: what one answer for all samples scores, every exit, and
    the policy if there is one.
    """
    alone = baseline(table)
    figures: dict[str, Any] = {
        "samples": len(table),
        "baseline": {"answer": alone.answer, **_scores(alone)},
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
    found = {name: getattr(scored, name, None) for name in ("accuracy", "mae", "rmse")}
    return {name: round(value, 6) for name, value in found.items() if value is not None}
