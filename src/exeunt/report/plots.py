"""The figures of `exeunt eval --plot`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from exeunt.calibrate import Curve
from exeunt.evaluate import (
    ExitTable,
    Outcome,
    agreement,
    confusion,
    exit_rows,
    oracle,
    reliability,
    score_interval,
)
from exeunt.policies import Every, Full
from exeunt.report.agreement_figure import agreement_figure
from exeunt.report.canvas import FORMATS, write_figure
from exeunt.report.classes_figure import classes_figure
from exeunt.report.cost_figure import CostPoint, CostSeries, cost_figure
from exeunt.report.reliability_figure import reliability_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_costs(
    folder: Path,
    table: ExitTable,
    title: str,
    *,
    outcomes: Sequence[Outcome] = (),
    curves: Sequence[Curve] = (),
) -> None:
    """Draws accuracy (or error) against cost as `costs.png` and `costs.svg`.

    Args:
        folder: where to; made if needed.
        table: whose exits are always drawn; alone, with their top-5 accuracy and the oracle.
        title: one sentence.
        outcomes: of policies, one series for each kind; marks alone beside curves.
        curves: of budgeted batches.

    Raises:
        ExeuntError: when matplotlib is missing.
        OSError: when a file cannot be written.
    """
    series = [_exits(table)]
    series += [_curve(curve) for curve in curves]
    series += _kinds(outcomes, joined=not curves)
    if len(series) == 1 and table.task == "classification":
        series += [*_top5(table), _oracle(table)]
    score = "accuracy" if table.task == "classification" else "mae"
    _write(folder, "costs", cost_figure(series, table.exit_macs[-1], title, score=score))


def plot_diagnosis(
    folder: Path, table: ExitTable, outcome: Outcome, class_names: Sequence[str], name: str
) -> None:
    """Draws `reliability`, `agreement` and `classes` of a classification, as PNG and SVG.

    Args:
        folder: where to; made if needed.
        table: of a classification.
        outcome: of the policy whose exits the classes are seen at.
        class_names: names of the K classes.
        name: of the model.

    Raises:
        ExeuntError: when matplotlib is missing.
        OSError: when a file cannot be written.
    """
    diagrams = [reliability(table, k) for k in range(table.num_exits)]
    title = f"Is an exit as right as it is sure? {name}"
    _write(folder, "reliability", reliability_figure(diagrams, title))
    title = f"How often two exits agree: {name}"
    _write(folder, "agreement", agreement_figure(agreement(table), title))
    title = f"Where each class leaves: {outcome.policy}"
    _write(folder, "classes", classes_figure(confusion(table, outcome), class_names, title))


def _write(folder: Path, name: str, figure: Figure) -> None:
    for ending in FORMATS:
        write_figure(figure, folder / f"{name}.{ending}")


def _exits(table: ExitTable) -> CostSeries:
    points = []
    for row in exit_rows(table):
        score = row.accuracy if row.accuracy is not None else row.mae
        assert score is not None
        points.append(CostPoint(row.macs, score, score_interval(table, row.index)))
    return CostSeries("each exit alone (bars: 95 %)", tuple(points))


def _top5(table: ExitTable) -> list[CostSeries]:
    points = [
        CostPoint(row.macs, row.accuracy_top5)
        for row in exit_rows(table)
        if row.accuracy_top5 is not None
    ]
    return [CostSeries("right class among the five likeliest", tuple(points))] if points else []


def _oracle(table: ExitTable) -> CostSeries:
    points = tuple(CostPoint(macs, accuracy) for macs, accuracy in oracle(table).bound)
    return CostSeries("oracle, which knows the answers", points, bound=True)


def _curve(curve: Curve) -> CostSeries:
    return CostSeries(f"budgeted: {curve.name}", tuple(_point(p.found) for p in curve.points))


def _kinds(outcomes: Sequence[Outcome], joined: bool) -> list[CostSeries]:
    """One series for each kind of policy, in the order in which they come."""
    kinds: dict[str, list[CostPoint]] = {}
    for outcome in outcomes:
        if isinstance(outcome.policy, Full):
            continue
        kinds.setdefault(_kind(outcome), []).append(_point(outcome))
    return [CostSeries(name, tuple(points), joined) for name, points in kinds.items()]


def _kind(outcome: Outcome) -> str:
    if isinstance(outcome.policy, Every):
        return " and ".join(part.spec.partition(":")[0] for part in outcome.policy.parts)
    return outcome.policy.spec.partition(":")[0]


def _point(outcome: Outcome) -> CostPoint:
    score = outcome.accuracy if outcome.accuracy is not None else outcome.mae
    assert score is not None
    return CostPoint(outcome.mean_macs, score)
