"""The best thresholds for a budget, one for each exit, and their worth on other samples."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from exeunt.calibrate.budget import ceiling, mean_cost_of, thresholds_within
from exeunt.calibrate.confidence import first_exits
from exeunt.calibrate.geometric import RATIOS, geometric_counts, most_confident
from exeunt.calibrate.grid import ThresholdGrid

FOLDS = 5
_MOST = 6_000
"""Samples that choose thresholds in cross-validation; more of them choose no others."""


def best_thresholds(
    confidence: Tensor, right: Tensor, costs: Tensor
) -> Callable[[float], list[float]]:
    """From a budget to the thresholds (E-1) with the most right answers that keep to it.

    Args:
        confidence: Confidence at every exit but the last (E-1 N).
        right: Whether each exit is right (E N).
        costs: Of leaving at each exit (E), cumulative.
    """
    exits, samples = confidence.shape
    published = [
        most_confident(confidence, geometric_counts(exits + 1, samples, ratio)) for ratio in RATIOS
    ]
    within = thresholds_within(confidence, costs)
    quantiles = ThresholdGrid(confidence, right, costs)

    @cache
    def merit(thresholds: tuple[float, ...]) -> float:
        return quantiles.merit(first_exits(confidence, thresholds).numpy())

    def solve(budget: float) -> list[float]:
        geometric = within(budget)
        grid = quantiles.including(geometric)
        starts = [
            [
                thresholds.index(threshold)
                for thresholds, threshold in zip(grid.thresholds, geometric, strict=True)
            ],
            [0] * len(confidence),
        ]
        found = [grid.thresholds_at(grid.climb(start, budget)) for start in starts]
        found += [
            thresholds
            for thresholds, leaving in published
            if mean_cost_of(torch.tensor(leaving), costs) <= ceiling(budget)
        ]
        return max(found, key=lambda thresholds: merit(tuple(thresholds)))

    return solve


def cross_validated(confidence: Tensor, right: Tensor, costs: Tensor) -> Callable[[float], float]:
    """From a budget to the share of samples that are right by thresholds which others chose.

    Every fifth sample is judged by the best thresholds of the other four fifths (of 6,000 of them
    at most, evenly). On the samples
    that chose them, thresholds look better than they are, the more so the more there are.

    Args:
        confidence: Confidence at every exit but the last (E-1 N), of five samples or more.
        right: Whether each exit is right (E N).
        costs: Of leaving at each exit (E), cumulative.
    """
    fold = torch.arange(confidence.shape[1]) % FOLDS
    folds = []
    for k in range(FOLDS):
        mine, others = fold == k, (fold != k).nonzero()[:, 0]
        others = others[:: -(-len(others) // _MOST)]
        solve = best_thresholds(confidence[:, others], right[:, others], costs)
        folds.append((solve, confidence[:, mine], right[:, mine]))

    def accuracy(budget: float) -> float:
        answers = 0
        for solve, mine, is_right in folds:
            exits = first_exits(mine, solve(budget))
            answers += int(is_right.gather(0, exits[None]).sum())
        return answers / confidence.shape[1]

    return accuracy
