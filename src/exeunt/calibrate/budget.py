"""What may be spent per sample on average, in any unit: MACs, milliseconds, joules."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor

from exeunt.calibrate.confidence import confidence_scores, threshold_policy
from exeunt.calibrate.geometric import geometric_counts, most_confident
from exeunt.calibrate.held_out import refuse_test
from exeunt.errors import ExeuntError
from exeunt.evaluate import ExitTable
from exeunt.policies import Confidence, PerExit, Threshold

_HALVINGS = 60
_LOG_RATIO = 46.0  # e^-46 leaves less than one sample for the second exit, e^46 for the first


class BudgetError(ExeuntError):
    """A budget that nothing keeps to.

    Attributes:
        least: What an image costs at least, in the unit of the budget.
    """

    def __init__(self, budget: float, least: float) -> None:
        super().__init__(
            f"a budget of {budget:,.10g} per image cannot be kept: the least that is possible is "
            f"{least:,.10g}, when all leave as early as they can"
        )
        self.least = least


def budgeted_policy(
    table: ExitTable,
    budget: float,
    costs: Sequence[float] | None = None,
    criterion: type[Threshold] = Confidence,
    temperature: PerExit = 1.0,
) -> Threshold:
    """`geometric_policy` at the ratio that spends the budget, found by bisection.

    On this table the mean cost never exceeds the budget; it stays below where no ratio meets it.

    Args:
        table: Of classification, of the calibration split.
        budget: What a sample may cost on average.
        costs: Of leaving at each exit (E), cumulative, in the unit of the budget; multiply-adds
            by default.
        criterion: `Confidence`, `Margin` or `Entropy`.
        temperature: One for all exits, or one for each, as `fit_temperatures` finds them.

    Raises:
        ExeuntError: The table is of the test split or of regression, the costs do not fit it, or
            the budget is less than the first exit costs.
    """
    refuse_test(table)
    prices = exit_costs(table, costs)
    confidence = confidence_scores(table, criterion, temperature)
    return threshold_policy(criterion, thresholds_within(confidence, prices)(budget), temperature)


def thresholds_within(confidence: Tensor, costs: Tensor) -> Callable[[float], list[float]]:
    """From a budget to the thresholds of confidence (E-1 N) whose geometric shares spend it at
    costs (E). Ratios that were tried for one budget are known for the next.

    Raises:
        ExeuntError: When called, for a budget that is less than the first exit costs.
    """

    exits, samples = confidence.shape

    @cache  # ratios that differ little want the same samples to leave
    def tried(counts: tuple[int, ...]) -> tuple[list[float], float]:
        thresholds, leaving = most_confident(confidence, counts)
        return thresholds, mean_cost_of(torch.tensor(leaving), costs)

    def at(log_ratio: float) -> tuple[list[float], float]:
        return tried(geometric_counts(exits + 1, samples, math.exp(log_ratio)))

    def solve(budget: float) -> list[float]:
        refuse_impossible(budget, costs[0].item())
        low, high = -_LOG_RATIO, _LOG_RATIO
        best = at(low)[0]
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            thresholds, spent = at(middle)
            if spent <= ceiling(budget):
                low, best = middle, thresholds
            else:
                high = middle
        return best

    return solve


def exit_costs(table: ExitTable, costs: Sequence[float] | None) -> Tensor:
    """The costs of leaving at each exit (E), float64; multiply-adds unless others are given.

    Raises:
        ExeuntError: They are not one for each exit, cumulative.
    """
    found = [float(cost) for cost in (table.exit_macs if costs is None else costs)]
    if len(found) != table.num_exits:
        raise ExeuntError(f"costs need one number per exit ({table.num_exits}), got {found}")
    if sorted(found) != found or not (found[0] >= 0 and 0 < found[-1] < math.inf):
        raise ExeuntError(f"costs must be cumulative and end above 0, got {found}")
    return torch.tensor(found, dtype=torch.float64)


def mean_cost(exit_index: Tensor, costs: Tensor) -> float:
    """The mean cost of samples that took these exits (N), at costs (E)."""
    return mean_cost_of(exit_index.bincount(minlength=len(costs)), costs)


def mean_cost_of(leaving: Tensor, costs: Tensor) -> float:
    """The mean cost of samples of which so many leave at each exit (E), at costs (E)."""
    return (leaving * costs).sum().item() / int(leaving.sum())


def ceiling(budget: float) -> float:
    """What a mean cost is compared with: the last few bits are rounding, not spending."""
    return budget * (1 + 1e-12)


def refuse_impossible(budget: float, least: float) -> None:
    """Refuses budgets that nothing keeps to.

    Raises:
        BudgetError: Naming the least that would do.
    """
    if not least <= ceiling(budget) < math.inf:
        raise BudgetError(budget, least)
