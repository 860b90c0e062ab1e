"""What no policy can beat: leaving at the first exit that is right."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from exeunt.evaluate.scores import right_classes
from exeunt.evaluate.table import ExitTable


@dataclass(frozen=True, eq=False)
class Oracle:
    """One who knows the answers, and lets every sample leave at the first exit that is right.

    Those that no exit gets right leave at the first, since nothing is to be gained. So no policy
    is more often right, nor as often right for less.

    Attributes:
        exit_index: Exit of each sample, counted from 0 (N, int64).
        accuracy: Share of samples that any exit gets right, 0 to 1.
        mean_macs: Multiply-adds spent per sample, on average.
        saving: 1 - mean_macs / multiply-adds of the whole net.
        bound: Mean multiply-adds and accuracy of the oracle that knows no more than the first 1,
            2, ... E exits. Joined by lines they bound what any policy reaches at that cost.
    """

    exit_index: Tensor
    accuracy: float
    mean_macs: float
    saving: float
    bound: tuple[tuple[float, float], ...]


def oracle(table: ExitTable) -> Oracle:
    """The oracle of a table, the upper bound of all its policies.

    Raises:
        ExeuntError: The table is of a regression.
    """
    right = right_classes(table)
    exit_index = right.long().argmax(dim=0)  # the first of the largest; 0 where there is none
    found = right.any(dim=0)
    counts: list[int] = exit_index[found].bincount(minlength=table.num_exits).tolist()
    bound = []
    spent, hits = len(table) * table.exit_macs[0], 0
    for count, macs in zip(counts, table.exit_macs, strict=True):
        spent += count * (macs - table.exit_macs[0])
        hits += count
        bound.append((spent / len(table), hits / len(table)))
    mean_macs, accuracy = bound[-1]
    return Oracle(
        exit_index=torch.where(found, exit_index, 0),
        accuracy=accuracy,
        mean_macs=mean_macs,
        saving=1 - spent / (len(table) * table.exit_macs[-1]),
        bound=tuple(bound),
    )
