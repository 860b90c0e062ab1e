"""The search for the best thresholds, two exits at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from exeunt.calibrate.budget import ceiling
from exeunt.calibrate.quantiles import quantiles


class ThresholdGrid:
    """Some settings of each exit's threshold: quantiles of the confidence there, and never.

    A setting is counted from 0, the lowest threshold; the last is infinity.

    Args:
        confidence: Confidence at every exit but the last (E-1 N); minus infinity where a sample may
            not leave.
        right: Whether each exit is right (E N).
        costs: Of leaving at each exit (E), cumulative.
        given: Thresholds (E-1) that the grid holds too.
    """

    def __init__(
        self, confidence: Tensor, right: Tensor, costs: Tensor, given: Sequence[float] | None = None
    ) -> None:
        self.right, self.costs = right.double(), costs
        self.thresholds = [[*quantiles(row[row > -math.inf]), math.inf] for row in confidence]
        if given is not None:
            self.thresholds = [sorted({*a, b}) for a, b in zip(self.thresholds, given, strict=True)]
        self._reached = [
            torch.searchsorted(torch.tensor(thresholds), row.contiguous(), right=True)
            for thresholds, row in zip(self.thresholds, confidence, strict=True)
        ]

    def exits_taken(self, settings: Sequence[int]) -> Tensor:
        """The exit that each sample takes (N)."""
        exit_index = torch.full((self.right.shape[1],), len(self.thresholds))
        for k in reversed(range(len(self.thresholds))):
            exit_index[self._reached[k] > settings[k]] = k
        return exit_index

    def thresholds_at(self, settings: Sequence[int]) -> list[float]:
        """The thresholds (E-1) that settings stand for."""
        return [thresholds[at] for thresholds, at in zip(self.thresholds, settings, strict=True)]

    def merit(self, exit_index: Tensor) -> float:
        """How good it is to take these exits (N): right answers, and less than one for the cost."""
        right = self.right.gather(0, exit_index[None]).sum()
        return (right - self._burden(self.costs[exit_index].sum())).item()

    def climb(self, settings: Sequence[int], budget: float) -> list[int]:
        """The best that is reached from settings whose mean cost keeps to the budget, by setting
        two exits at a time to what is best while the others stand, until nothing improves.
        """
        at = list(settings)
        best = self.merit(self.exits_taken(at))
        groups: list[tuple[int, ...]] = [*combinations(range(len(at)), 2)]
        groups = groups or [(k,) for k in range(len(at))]
        improved = True
        while improved:
            improved = False
            for exits in groups:
                merit, found = self._best(at, exits, budget)
                if merit > best + 1e-9:
                    best, at, improved = merit, found, True
        return at

    def _best(
        self, settings: Sequence[int], exits: tuple[int, ...], budget: float
    ) -> tuple[float, list[int]]:
        """The merit of the best settings of `exits` while the others stand, and all settings."""
        found = list(settings)
        for k in exits:
            found[k] = len(self.thresholds[k]) - 1
        without = self.exits_taken(found)
        right = self._totals(self.right, without, exits)
        spent = self._totals(self.costs[:, None].expand_as(self.right), without, exits)
        merit = right - self._burden(spent)
        merit[spent > ceiling(budget) * self.right.shape[1]] = -math.inf
        best = int(merit.argmax())
        for k, setting in zip(exits, np.unravel_index(best, merit.shape), strict=True):
            found[k] = int(setting)
        return merit.flatten()[best].item(), found

    def _totals(self, values: Tensor, without: Tensor, exits: tuple[int, ...]) -> Tensor:
        """The sum over samples of values (E N) at the exit taken, for all settings of `exits`.

        A sample leaves at the first of `exits` whose threshold it reaches, and changes the total by
        the difference to what it gets `without` them (N). These differences are gathered in a
        histogram over the thresholds reached; sums over its cells are what every setting gets.
        """
        otherwise = values.gather(0, without[None])[0]
        totals = otherwise.sum()
        cell = torch.zeros_like(without)
        shape: list[int] = []
        for axis, k in enumerate(exits):
            shape.append(len(self.thresholds[k]))
            cell = cell * shape[-1] + self._reached[k]
            change = torch.where(k < without, values[k] - otherwise, 0.0)
            histogram = cell.bincount(change, minlength=math.prod(shape)).view(shape)
            for earlier in range(axis):
                histogram = histogram.cumsum(earlier)  # not gone before
            leaving = histogram.sum(axis, keepdim=True) - histogram.cumsum(axis)
            totals = totals.unsqueeze(-1) + leaving
        return totals

    def _burden(self, spent: Tensor) -> Tensor:
        """A total cost in right answers: at most a half, to tell equals apart."""
        return spent / (2 * self.right.shape[1] * self.costs[-1])
