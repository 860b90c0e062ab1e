"""Scores as rows and cells have them."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from exeunt.evaluate import ExitTable, score_interval
from exeunt.report.sections.section import Row
from exeunt.text import figure, percent

SCORES = ("accuracy", "accuracy_top5", "oracle", "mean_confidence", "mae", "rmse")
HEADINGS = {"accuracy_top5": "top 5", "mean_confidence": "mean confidence"}
INTERVAL = "95 %"
"""The heading of intervals, whose level is the usual one everywhere here."""


def scores_in(scored: Any) -> Row:
    """Those of `SCORES` that an exit's row or an outcome has."""
    found = {name: getattr(scored, name, None) for name in SCORES}
    return {name: value for name, value in found.items() if value is not None}


def scores_with_interval(table: ExitTable, scored: Any, exit_index: int | Tensor) -> Row:
    """The scores, with the ends of the interval of the first.

    Args:
        table: what was scored.
        scored: an exit's row or an outcome.
        exit_index: the exit that all samples took, or that each took (N,).
    """
    name = main_score(table)
    low, high = score_interval(table, exit_index)
    scores = scores_in(scored)
    return {name: scores.pop(name), f"{name}_low": low, f"{name}_high": high, **scores}


def main_score(table: ExitTable) -> str:
    return "accuracy" if table.task == "classification" else "mae"


def shown(name: str, value: float) -> str:
    return figure(value) if name in ("mae", "rmse") else percent(value)


def shown_interval(row: Row, name: str) -> str:
    """`67.2-71.3`, in the unit of the score."""
    return "-".join(_bare(name, row[f"{name}_{end}"]) for end in ("low", "high"))


def score_columns(row: Row) -> list[str]:
    """Headings of what `score_cells` gives."""
    names = [name for name in SCORES if name in row]
    first, *rest = (HEADINGS.get(name, name) for name in names)
    return [first, INTERVAL, *rest]


def score_cells(row: Row) -> list[str]:
    """The scores of a row, the interval behind the first."""
    names = [name for name in SCORES if name in row]
    first, *rest = (shown(name, row[name]) for name in names)
    return [first, shown_interval(row, names[0]), *rest]


def _bare(name: str, value: float) -> str:
    return shown(name, value).removesuffix(" %")
