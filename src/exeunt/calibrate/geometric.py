"""Thresholds for exit shares that fall or rise geometrically: budgeted batch prediction."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from torch import Tensor

from exeunt.calibrate.confidence import confidence_scores, threshold_policy
from exeunt.calibrate.held_out import refuse_test
from exeunt.errors import ExeuntError
from exeunt.evaluate import ExitTable
from exeunt.policies import Confidence, PerExit, Threshold

RATIOS = tuple(step / 20 for step in range(1, 40))
"""The usual sweep, 0.05 to 1.95: from nearly all at the first exit to nearly all at the last."""


def geometric_policy(
    table: ExitTable,
    ratio: float,
    criterion: type[Threshold] = Confidence,
    temperature: PerExit = 1.0,
) -> Threshold:
    """The thresholds at which exit k of E takes a share of the samples proportional to `ratio` ^ k.

    Budgeted batch prediction of MSDNet (Huang et al., ICLR 2018) and RANet (Yang et al., CVPR
    2020). From the first exit to the last but one, the most confident floor(N * share) of the
    samples that are still in leave. The least confidence of them is the threshold; those that are
    as confident leave with them. An exit whose share is less than one sample, or more than are
    left, is `never` taken.

    Args:
        table: N samples of classification, of the calibration split.
        ratio: Of the shares of neighbouring exits, above 0; above 1, later exits take more.
        criterion: `Confidence`, `Margin` or `Entropy`.
        temperature: One for all exits, or one for each, as `fit_temperatures` finds them.

    Raises:
        ExeuntError: The table is of the test split or of regression, or the ratio is senseless.
    """
    refuse_test(table)
    if not 0 < ratio < math.inf:
        raise ExeuntError(f"ratio must be a finite number > 0, got {ratio}")
    return threshold_policy(
        criterion,
        geometric_thresholds(confidence_scores(table, criterion, temperature), ratio),
        temperature,
    )


def geometric_policies(
    table: ExitTable,
    ratios: Iterable[float] = RATIOS,
    criterion: type[Threshold] = Confidence,
    temperature: PerExit = 1.0,
) -> list[Threshold]:
    """`geometric_policy` for several ratios, in the order given: the points of a curve."""
    return [geometric_policy(table, ratio, criterion, temperature) for ratio in ratios]


def geometric_thresholds(confidence: Tensor, ratio: float) -> list[float]:
    """The least confidence (E-1 N) that leaves, exit by exit; infinity where nobody does."""
    exits, samples = confidence.shape
    return most_confident(confidence, geometric_counts(exits + 1, samples, ratio))[0]


def geometric_counts(exits: int, samples: int, ratio: float) -> tuple[int, ...]:
    """How many samples should leave at each exit but the last (E-1)."""
    weights = [ratio**k for k in range(exits)]
    total = math.fsum(weights)
    return tuple(math.floor(samples * weight / total) for weight in weights[:-1])


def most_confident(confidence: Tensor, counts: Sequence[int]) -> tuple[list[float], list[int]]:
    """The thresholds (E-1) at which so many (E-1) leave, and how many do leave at all exits (E).

    Samples that are as confident leave with them.

    Args:
        confidence: (E-1 N).
        counts: Nobody leaves where it is 0, or more than are left.
    """
    waiting = np.arange(confidence.shape[1])
    thresholds, leaving = [], []
    for row, count in zip(confidence.numpy(), counts, strict=True):
        left = row[waiting]
        threshold = math.inf
        if 0 < count <= len(left):
            place = len(left) - count
            threshold = float(np.partition(left, place)[place])
        waiting = waiting[left < threshold]
        thresholds.append(threshold)
        leaving.append(len(left) - len(waiting))
    return thresholds, [*leaving, len(waiting)]
