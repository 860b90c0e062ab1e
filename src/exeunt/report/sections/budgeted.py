"""Budgeted batch prediction: policies solved on the calibration split, shown on the test split."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from exeunt.calibrate import Curve, CurvePoint
from exeunt.evaluate import ExitTable, Outcome, difference_interval
from exeunt.report.sections.policies import outcome_row
from exeunt.report.sections.scores import INTERVAL, main_score, shown, shown_interval
from exeunt.report.sections.section import Row, Section
from exeunt.text import millions

STEP = 0.02  # least distance of two lines of the table, as a share of the net's MACs


def budgeted_section(table: ExitTable, curves: Sequence[Curve]) -> Section:
    """One row per policy; the table has one line per budget, with the curves side by side.

    Args:
        table: of the test split.
        curves: whose n-th points were solved for the same budget; the first is compared with.
    """
    references = [None, *(curves[0].points for _ in curves[1:])]
    by_curve = [
        [
            {"kind": "budgeted", "method": curve.name, **_row(table, point, reference)}
            for point, reference in zip_longest(curve.points, others or ())
        ]
        for curve, others in zip(curves, references, strict=True)
    ]
    score = main_score(table)
    columns = ["budget"]
    for curve in curves:
        columns += [curve.name, INTERVAL, "MACs"]
    columns += [name for curve in curves[1:] for name in (f"{curve.name} better by", INTERVAL)]
    cells = []
    shown_up_to = float("-inf")
    for line in zip(*by_curve, strict=True):
        if line[0]["expected_macs"] < shown_up_to + STEP * table.exit_macs[-1]:
            continue
        shown_up_to = line[0]["expected_macs"]
        cell = [millions(shown_up_to)]
        for row in line:
            cell += [shown(score, row[score]), shown_interval(row, score), millions(row["macs"])]
        for row in line[1:]:
            cell += [f"{100 * row['gain']:+.1f} points", _signed_interval(row)]
        cells.append(cell)
    calibrated = len(curves[0].points[0].expected.exit_index)
    return Section(
        "budgeted batch: policies solved for a mean cost on "
        f"{calibrated} calibration images, and what they do here",
        [row for rows in by_curve for row in rows],
        columns,
        cells,
        "r" * len(columns),
    )


def _row(table: ExitTable, point: CurvePoint, reference: CurvePoint | None) -> Row:
    """A point as a row; `gain` is the difference to the reference, better being above 0."""
    score = main_score(table)
    expected: Row = {
        "expected_macs": point.expected.mean_macs,
        f"expected_{score}": getattr(point.expected, score),
    }
    row = {
        "setting": point.found.policy.spec,
        "solved_for": point.solved_for,
        **expected,
        **outcome_row(table, point.found),
    }
    return row if reference is None else row | _gain(table, point.found, reference.found)


def _gain(table: ExitTable, outcome: Outcome, other: Outcome) -> Row:
    score = main_score(table)
    low, high = difference_interval(table, outcome, other)
    return {
        "gain": getattr(outcome, score) - getattr(other, score),
        "gain_low": low,
        "gain_high": high,
    }


def _signed_interval(row: Row) -> str:
    return f"{100 * row['gain_low']:+.1f}..{100 * row['gain_high']:+.1f}"
