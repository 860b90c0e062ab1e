"""What is taken for what, and how deep each class goes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from exeunt.errors import ExeuntError
from exeunt.evaluate.replay import Outcome
from exeunt.evaluate.scores import right_classes
from exeunt.evaluate.table import ExitTable


@dataclass(frozen=True, eq=False)
class Confusion:
    """The classes of a table at the exits that a policy takes.

    Attributes:
        counts: Samples of class i that were taken for class j (K K, int64).
        samples: Samples of each class (K, int64).
        accuracy: Share of each class that is right (K, float64); NaN where it has no samples, as
            in what follows.
        exit_shares: Share of each class that left at each exit (K E, float64).
        mean_exit: Mean exit of each class, counted from 0 (K, float64).
        mean_macs: Multiply-adds spent per sample of each class (K, float64).
    """

    counts: Tensor
    samples: Tensor
    accuracy: Tensor
    exit_shares: Tensor
    mean_exit: Tensor
    mean_macs: Tensor


def confusion(table: ExitTable, outcome: Outcome) -> Confusion:
    """Counts classes at the exits taken.

    Args:
        table: Of a classification.
        outcome: Of a policy on this very table.

    Raises:
        ExeuntError: The table is of a regression, or the outcome is of another table.
    """
    if outcome.table is not table:
        raise ExeuntError(
            f"the outcome of {outcome.policy.spec!r} is of another table, of {len(outcome.table)} "
            f"samples of {outcome.table.split}; replay the policy on this one"
        )
    right_classes(table)  # refuses a regression
    exits, _, classes = table.logits.shape
    counts = _pairs(table.targets, outcome.predictions, classes, classes)
    left = _pairs(table.targets, outcome.exit_index, classes, exits)
    samples = counts.sum(dim=1)
    exit_shares = left.double() / samples[:, None]
    return Confusion(
        counts=counts,
        samples=samples,
        accuracy=counts.diagonal().double() / samples,
        exit_shares=exit_shares,
        mean_exit=exit_shares @ torch.arange(exits, dtype=torch.float64),
        mean_macs=exit_shares @ torch.tensor(table.exit_macs, dtype=torch.float64),
    )


def _pairs(first: Tensor, second: Tensor, rows: int, columns: int) -> Tensor:
    """How often each pair of indices stands side by side (rows columns)."""
    return (first * columns + second).bincount(minlength=rows * columns).view(rows, columns)
