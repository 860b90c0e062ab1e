"""The best policy for a budget, searched for directly."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from exeunt.calibrate.budget import (
    ceiling,
    exit_costs,
    mean_cost,
    refuse_impossible,
)
from exeunt.calibrate.confidence import confidence_scores, correctness, threshold_policy
from exeunt.calibrate.criteria import Criterion
from exeunt.calibrate.grid import ThresholdGrid
from exeunt.calibrate.held_out import refuse_test
from exeunt.calibrate.quantiles import quantiles
from exeunt.calibrate.thresholds import best_thresholds
from exeunt.errors import ExeuntError
from exeunt.evaluate import ExitTable, sweep
from exeunt.policies import (
    Confidence,
    Consistency,
    Every,
    Memory,
    PerExit,
    ReadingPolicy,
    Threshold,
    Value,
)

_Solver: TypeAlias = Callable[[float], ReadingPolicy]


def optimised_policy(
    table: ExitTable,
    budget: float,
    costs: Sequence[float] | None = None,
    criterion: Criterion = Confidence,
    temperature: PerExit = 1.0,
    *,
    patient: bool = False,
) -> ReadingPolicy:
    """The policy with the most right answers on this table whose mean cost keeps to a budget.

    Thresholds begin at those of `budgeted_policy` and at the most eager ones, and are improved two
    exits at a time (`ThresholdGrid`); on this table they are never worse than the geometric ones of
    any published ratio within the budget.
    Of `Consistency` every count is tried, and for regression 64 tolerances, for the least mean
    absolute error. The same table always gives the same policy.

    Args:
        table: Of the calibration split.
        budget: What a sample may cost on average.
        costs: Of leaving at each exit (E), cumulative, in the unit of the budget; multiply-adds
            by default.
        criterion: `Confidence`, `Margin` or `Entropy` for thresholds, `Consistency` for a count;
            regression has the latter only.
        temperature: Of thresholds: one for all exits, or one for each, as `fit_temperatures`
            finds them.
        patient: Join the thresholds with `Consistency(k)`, and choose k too.

    Raises:
        ExeuntError: The table is of the test split or has not what the criterion reads, the costs
            do not fit it, or the budget is less than is possible.
    """
    return _solver(table, costs, criterion, temperature, patient)(budget)


def optimised_policies(
    table: ExitTable,
    budgets: Iterable[float],
    costs: Sequence[float] | None = None,
    criterion: Criterion = Confidence,
    temperature: PerExit = 1.0,
    *,
    patient: bool = False,
) -> list[ReadingPolicy]:
    """`optimised_policy` for several budgets, in the order given: the points of a curve."""
    return list(map(_solver(table, costs, criterion, temperature, patient), budgets))


def _solver(
    table: ExitTable,
    costs: Sequence[float] | None,
    criterion: Criterion,
    temperature: PerExit,
    patient: bool,
) -> _Solver:
    refuse_test(table)
    prices = exit_costs(table, costs)
    if not issubclass(criterion, Threshold):
        if patient:
            raise ExeuntError("consistency is patient as it is; join it with another criterion")
        return _counts(table, prices)
    confidence, right = confidence_scores(table, criterion, temperature), correctness(table)
    if patient:
        return _patient_thresholds(table, confidence, right, prices, criterion, temperature)
    thresholds = best_thresholds(confidence, right, prices)
    return lambda budget: threshold_policy(criterion, thresholds(budget), temperature)


def _patient_thresholds(
    table: ExitTable,
    confidence: Tensor,
    right: Tensor,
    costs: Tensor,
    criterion: type[Threshold],
    temperature: PerExit,
) -> _Solver:
    grids = {
        Consistency(k): ThresholdGrid(
            confidence.masked_fill(~_agreed(table, Consistency(k)), -math.inf), right, costs
        )
        for k in range(1, table.num_exits - 1)
    }
    if not grids:
        raise ExeuntError(
            f"patience needs three exits or more, to agree and still to save, got {table.num_exits}"
        )
    eager = [0] * len(confidence)
    spent = {
        count: mean_cost(torch.from_numpy(grid.exits_taken(eager)).long(), costs)
        for count, grid in grids.items()
    }

    def solve(budget: float) -> ReadingPolicy:
        refuse_impossible(budget, min(spent.values()))
        found = []
        for count, grid in grids.items():
            if spent[count] <= ceiling(budget):
                settings = grid.climb(eager, budget)
                merit = grid.merit(grid.exits_taken(settings))
                found.append(
                    (
                        merit,
                        count,
                        threshold_policy(criterion, grid.thresholds_at(settings), temperature),
                    )
                )
        _, count, threshold = max(found, key=lambda entry: entry[0])
        return Every((count, threshold))

    return solve


def _agreed(table: ExitTable, policy: Consistency) -> Tensor:
    """Whom the policy would let go at every exit but the last (E-1 N), whoever has gone before."""
    says: list[Tensor] = []
    memory: Memory = ()
    for k in range(table.num_exits - 1):
        values = tuple(table.read(reading, k) for reading in policy.readings(k))
        leave, memory = policy.decide(k, values, memory)
        says.append(leave)
    return torch.stack(says)


def _counts(table: ExitTable, costs: Tensor) -> _Solver:
    outcomes = sweep(table, _consistencies(table))
    spent = [mean_cost(outcome.exit_index, costs) for outcome in outcomes]

    def solve(budget: float) -> ReadingPolicy:
        refuse_impossible(budget, min(spent))
        found = [
            (outcome.score, -cost, policy)
            for outcome, cost in zip(outcomes, spent, strict=True)
            if cost <= ceiling(budget) and isinstance(policy := outcome.policy, Consistency)
        ]
        return max(found, key=lambda entry: entry[:2])[2]

    return solve


def _consistencies(table: ExitTable) -> list[Consistency]:
    """All counts; for regression, with tolerances spread evenly over how far exits are apart."""
    counts = range(1, max(table.num_exits, 2))
    if table.task == "classification":
        return [Consistency(k) for k in counts]
    values = torch.stack([table.read(Value(), k) for k in range(table.num_exits)])
    apart = values.diff(dim=0).abs()
    etas = quantiles(apart[apart > 0]) or [1.0]  # one will do where all exits say the same
    etas.append(2 * etas[-1])  # with which all agree
    return [Consistency(k, eta) for k in counts for eta in etas]
