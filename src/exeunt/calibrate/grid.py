"""The search for the best thresholds, two exits at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from functools import reduce
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
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
    """

    def __init__(self, confidence: Tensor, right: Tensor, costs: Tensor) -> None:
        self.right, self.costs = right.numpy(), costs.numpy()
        self._right = self.right.astype(np.float64)
        self._samples = np.arange(right.shape[1])
        self.thresholds = [[*quantiles(row[row > -math.inf]), math.inf] for row in confidence]
        self._confidence = confidence.numpy()
        self._reached = [  # at most 66 settings, so that one byte will do
            np.searchsorted(np.array(thresholds, np.float32), row, side="right").astype(np.uint8)
            for thresholds, row in zip(self.thresholds, self._confidence, strict=True)
        ]
        self._cells: dict[tuple[int, ...], NDArray[np.intp]] = {}

    def including(self, thresholds: Sequence[float]) -> ThresholdGrid:
        """A grid of the same samples that holds these thresholds (E-1) too."""
        more = copy(self)
        more.thresholds, more._reached = [*self.thresholds], [*self._reached]
        for k, threshold in enumerate(thresholds):
            if threshold not in self.thresholds[k]:
                more.thresholds[k] = sorted([*self.thresholds[k], threshold])
                more._reached[k] = self._reached[k] + (self._confidence[k] >= np.float32(threshold))
        more._cells = {}
        return more

    def exits_taken(self, settings: Sequence[int]) -> NDArray[np.uint8]:
        """The exit that each sample takes (N)."""
        exit_index: NDArray[np.uint8] = self._first_exits(settings, 1)[0]
        return exit_index

    def _first_exits(self, settings: Sequence[int], count: int) -> NDArray[np.uint8]:
        """The first `count` exits that each sample could take (count N), the last for want of
        others.
        """
        last = len(self.thresholds)
        found = np.full((count, self.right.shape[1]), last, np.uint8)
        for k, (reached, setting) in enumerate(zip(self._reached, settings, strict=True)):
            later = last - np.uint8(last - k) * (reached > setting)
            for row in found:  # each keeps the earlier of two
                kept = np.minimum(row, later)
                later = np.maximum(row, later)
                row[:] = kept
        return found

    def thresholds_at(self, settings: Sequence[int]) -> list[float]:
        """The thresholds (E-1) that settings stand for."""
        return [thresholds[at] for thresholds, at in zip(self.thresholds, settings, strict=True)]

    def merit(self, exit_index: NDArray[Any]) -> float:
        """How good it is to take these exits (N): right answers, and less than one for the cost."""
        right, spent = self._taken(exit_index)
        return float(right.sum() - self._burden(spent.sum()))

    def climb(self, settings: Sequence[int], budget: float) -> list[int]:
        """The best that is reached from settings whose mean cost keeps to the budget, by setting
        two exits at a time to what is best while the others stand, until nothing improves.
        """
        at = list(settings)
        ways = self._first_exits(at, 3)
        best = self.merit(ways[0])
        groups: list[tuple[int, ...]] = [*combinations(range(len(at)), 2)]
        groups = groups or [(k,) for k in range(len(at))]
        since = 0  # groups that were tried since the last improvement
        while since < len(groups):
            for exits in groups:
                merit, found = self._best(at, ways, exits, budget)
                since += 1
                if merit > best + 1e-9:
                    best, at, since = merit, found, 0
                    ways = self._first_exits(at, 3)
                if since == len(groups):
                    break
        return at

    def _best(
        self,
        settings: Sequence[int],
        ways: NDArray[np.uint8],
        exits: tuple[int, ...],
        budget: float,
    ) -> tuple[float, list[int]]:
        """The merit of the best settings of `exits` while the others stand, and all settings.

        Of every sample `ways` (3 N) has the first exits that it could take at these settings.
        """
        without = ways[-1]
        for way in ways[-2::-1]:
            without = np.where(reduce(np.logical_or, [way == k for k in exits]), without, way)
        right, spent = self._totals(without, exits)
        merit = right - self._burden(spent)
        merit[spent > ceiling(budget) * self.right.shape[1]] = -math.inf
        best = int(merit.argmax())
        found = list(settings)
        for k, setting in zip(exits, np.unravel_index(best, merit.shape), strict=True):
            found[k] = int(setting)
        return float(merit.flat[best]), found

    def _totals(
        self, without: NDArray[np.uint8], exits: tuple[int, ...]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Right answers, and costs, of all samples at the exits taken, for all settings of `exits`.

        A sample leaves at the first of `exits` whose threshold it reaches, and changes the totals
        by the difference to what it gets `without` them (N). These differences are gathered in a
        histogram over the thresholds reached; sums over its cells are what every setting gets.
        """
        before = self._taken(without)
        right, spent = (np.asarray(values.sum()) for values in before)
        shape: list[int] = []
        for axis, k in enumerate(exits):
            shape.append(len(self.thresholds[k]))
            leaves = np.flatnonzero(without > k)
            cells = self._cells_of(exits[: axis + 1]).take(leaves)
            mine = self._right[k].take(leaves), self.costs[k]
            totals = []
            for now, then in zip(mine, before, strict=True):
                histogram = np.bincount(cells, now - then.take(leaves), math.prod(shape))
                histogram = histogram.reshape(shape)
                for earlier in range(axis):
                    histogram = histogram.cumsum(earlier)  # not gone before
                leaving = histogram.sum(axis, keepdims=True) - histogram.cumsum(axis)
                totals.append(leaving)
            right, spent = right[..., None] + totals[0], spent[..., None] + totals[1]
        return right, spent

    def _cells_of(self, exits: tuple[int, ...]) -> NDArray[np.intp]:
        """The cell of each sample (N) in a histogram over what it reaches at some exits."""
        if exits not in self._cells:
            *others, k = exits
            cells = self._reached[k].astype(np.intp)
            if others:
                cells += self._cells_of(tuple(others)) * len(self.thresholds[k])
            self._cells[exits] = cells
        return self._cells[exits]

    def _taken(self, exit_index: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Whether each sample is right at the exit it takes (N), and what that costs (N)."""
        at = exit_index.astype(np.intp)
        return self._right.take(at * len(at) + self._samples), self.costs.take(at)

    def _burden(self, spent: Any) -> Any:
        """A total cost in right answers: at most a half, to tell equals apart."""
        return spent / (2 * self.right.shape[1] * self.costs[-1])
