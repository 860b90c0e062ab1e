"""Curves of budgeted batches: solved on one table, seen on another, and never mixed up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from exeunt.calibrate import budgeted_curves, geometric_policy
from exeunt.errors import ExeuntError
from exeunt.evaluate import ExitTable, replay

Table = Callable[..., ExitTable]
RATIOS = (2.0, 0.3, 1.0)


def as_test(table: ExitTable) -> ExitTable:
    return replace(table, split="test", data_fingerprint="other")


def test_every_point_is_solved_here_and_seen_there(noisy_table: Table) -> None:
    calibration, test = noisy_table(0), as_test(noisy_table(1))
    geometric, direct = budgeted_curves(calibration, test, RATIOS)
    assert (geometric.name, direct.name) == ("geometric", "direct")
    assert [point.solved_for for point in geometric.points] == [0.3, 1.0, 2.0]  # by their cost
    for point in geometric.points:
        policy = geometric_policy(calibration, point.solved_for)
        assert point.expected.policy == point.found.policy == policy
        assert point.expected.mean_macs == replay(calibration, policy).mean_macs
        assert point.found.accuracy == replay(test, policy).accuracy
    for point, reference in zip(direct.points, geometric.points, strict=True):
        assert point.solved_for == reference.expected.mean_macs
        assert point.expected.mean_macs <= point.solved_for * (1 + 1e-9)
        assert point.expected.accuracy is not None
        assert reference.expected.accuracy is not None
        assert point.expected.accuracy >= reference.expected.accuracy
    accuracies = [point.expected.accuracy for point in direct.points]
    assert accuracies == sorted(accuracies), "a larger budget buys no less"


def test_the_test_table_chooses_nothing(noisy_table: Table) -> None:
    calibration = noisy_table(0)
    there = [budgeted_curves(calibration, as_test(noisy_table(seed)), RATIOS) for seed in (1, 2)]
    first, second = ([p.found.policy for c in curves for p in c.points] for curves in there)
    assert first == second


def test_regression_has_counts(noisy_values: Table) -> None:
    calibration, test = noisy_values(0), as_test(noisy_values(1))
    (curve,) = budgeted_curves(calibration, test)
    assert curve.name == "consistency"
    budgets = [point.solved_for for point in curve.points]
    assert budgets == sorted(budgets)
    assert budgets[0] > calibration.exit_macs[1]
    assert budgets[-1] == calibration.exit_macs[-1]
    for point in curve.points:
        assert point.expected.mean_macs <= point.solved_for * (1 + 1e-9)
        assert point.found.mae == replay(test, point.found.policy).mae


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "train"}, "shown on the test split, and this table is of train"),
        ({"weights_fingerprint": "v"}, "different weights: w on calibration, v on test"),
        ({"data_fingerprint": "d"}, "the same samples"),
    ],
)
def test_tables_that_do_not_go_together(
    noisy_table: Table, change: dict[str, str], message: str
) -> None:
    with pytest.raises(ExeuntError, match=message):
        budgeted_curves(noisy_table(0), replace(as_test(noisy_table(1)), **change))


def test_nothing_is_solved_on_the_test_split(noisy_table: Table) -> None:
    test = as_test(noisy_table(0))
    with pytest.raises(ExeuntError, match="never chosen on the test split"):
        budgeted_curves(test, test)
