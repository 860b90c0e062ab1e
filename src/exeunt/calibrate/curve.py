"""Budgeted batch prediction: policies for many budgets, solved on one split and seen on another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from exeunt.calibrate.geometric import RATIOS, geometric_policies
from exeunt.calibrate.held_out import refuse_test
from exeunt.calibrate.optimiser import optimised_policies
from exeunt.errors import ExeuntError
from exeunt.evaluate import NOT_STATED, ExitTable, Outcome, replay, sweep
from exeunt.policies import Consistency, Policy

STEPS = 24
"""Budgets of a regression's curve, which has no ratios."""


@dataclass(frozen=True, eq=False)
class CurvePoint:
    """A policy that was solved for one budget.

    Attributes:
        solved_for: The ratio of a geometric policy; multiply-adds per sample of any other.
        expected: What the policy does on the calibration split, on which it was solved.
        found: What it does on the test split.
    """

    solved_for: float
    expected: Outcome
    found: Outcome


@dataclass(frozen=True, eq=False)
class Curve:
    """Policies of one kind for rising budgets.

    Attributes:
        name: Of the kind: "geometric", "direct" or "consistency".
        points: From the smallest budget to the largest.
    """

    name: str
    points: tuple[CurvePoint, ...]


def budgeted_curves(
    calibration: ExitTable, test: ExitTable, ratios: Sequence[float] = RATIOS
) -> list[Curve]:
    """Accuracy at a mean cost, by thresholds for geometric exit shares and by direct search.

    Budgeted batch prediction of MSDNet (Huang et al., ICLR 2018): a batch may cost so much on
    average, and easy samples pay for hard ones. "geometric" are confidence thresholds for exit
    shares that fall or rise geometrically; what each of them costs on the calibration split is the
    budget of a point of "direct", so that the n-th points of both may be compared: thresholds are
    searched for all budgets, and of all policies, geometric ones included, each point has the best
    that the budget affords. Regression has "consistency" alone, for budgets in even steps.

    Args:
        calibration: What the policies are solved on.
        test: Of the same net, and of other samples.
        ratios: Of the geometric shares of neighbouring exits.

    Raises:
        ExeuntError: The tables are of different nets or of the same samples, or `calibration` is of
            the test split, or `test` is not.
    """
    refuse_test(calibration)
    _check_pair(calibration, test)
    if calibration.task == "regression":
        first, last = calibration.exit_macs[1], calibration.exit_macs[-1]
        budgets = [first + (last - first) * step / STEPS for step in range(1, STEPS + 1)]
        solved = optimised_policies(calibration, budgets, criterion=Consistency)
        return [_curve("consistency", budgets, solved, calibration, test)]
    shares = geometric_policies(calibration, ratios)
    geometric = _curve("geometric", ratios, shares, calibration, test)
    expected = [point.expected for point in geometric.points]
    budgets = [outcome.mean_macs for outcome in expected]
    expected += sweep(calibration, optimised_policies(calibration, budgets))
    best = [_best_within(budget, expected) for budget in budgets]
    return [geometric, _curve("direct", budgets, best, calibration, test)]


def _best_within(budget: float, outcomes: Iterable[Outcome]) -> Policy:
    """The policy that is right most often for no more than a budget; of several, the cheapest."""
    affordable = [outcome for outcome in outcomes if outcome.mean_macs <= budget]
    return max(affordable, key=lambda outcome: (outcome.accuracy, outcome.saving)).policy


def _curve(
    name: str,
    solved_for: Iterable[float],
    policies: Iterable[Policy],
    calibration: ExitTable,
    test: ExitTable,
) -> Curve:
    points = [
        CurvePoint(number, replay(calibration, policy), replay(test, policy))
        for number, policy in zip(solved_for, policies, strict=True)
    ]
    if name == "geometric":  # larger ratios nearly always cost more, and where not, order decides
        points.sort(key=lambda point: point.expected.mean_macs)
    return Curve(name, tuple(points))


def _check_pair(calibration: ExitTable, test: ExitTable) -> None:
    if test.split != "test":
        raise ExeuntError(
            f"budgeted policies are shown on the test split, and this table is of {test.split}"
        )
    weights = {calibration.weights_fingerprint, test.weights_fingerprint}
    if len(weights) > 1 and NOT_STATED not in weights:
        raise ExeuntError(
            f"the tables are of different weights: {calibration.weights_fingerprint} on "
            f"calibration, {test.weights_fingerprint} on test"
        )
    if calibration.data_fingerprint == test.data_fingerprint != NOT_STATED:
        raise ExeuntError(
            f"both tables hold the same samples, {test.data_fingerprint}; policies are shown on "
            "samples that they were not solved on"
        )
