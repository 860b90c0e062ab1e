"""Right early and wrong late: what depth spoils, and what it wastes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from exeunt.evaluate.scores import right_classes
from exeunt.evaluate.table import ExitTable


@dataclass(frozen=True)
class Overthinking:
    """What later exits do to answers that were right (Kaya et al., ICML 2019).

    All are shares of the samples, 0 to 1.

    Attributes:
        spoiled: Right at this exit and wrong at the last (E); the last is 0.
        mended: Wrong at this exit and right at the last (E); the last is 0.
        destructive: Right at some exit and wrong at the last: what the last exit could have known.
        wasteful: Right from an exit before the last to the end: what follows changed nothing.
        wasted_macs: Share of the whole net's multiply-adds that is spent after the exit from which
            a sample stays right, averaged over all samples.
    """

    spoiled: tuple[float, ...]
    mended: tuple[float, ...]
    destructive: float
    wasteful: float
    wasted_macs: float


def overthinking(table: ExitTable) -> Overthinking:
    """Counts right answers that later exits spoil, and work that changes no answer.

    Raises:
        ExeuntError: The table is of a regression.
    """
    right = right_classes(table)
    last = right[-1]
    settled = settling_exits(table)[last]
    full = table.exit_macs[-1]
    after = full - torch.tensor(table.exit_macs, dtype=torch.float64)
    return Overthinking(
        spoiled=_shares(right & ~last),
        mended=_shares(~right & last),
        destructive=_share(right.any(dim=0) & ~last),
        wasteful=(settled < table.num_exits - 1).sum().item() / len(table),
        wasted_macs=after[settled].sum().item() / (len(table) * full),
    )


def settling_exits(table: ExitTable) -> Tensor:
    """The first exit from which each sample stays right to the end, counted from 0 (N, int64); E
    for those that the last exit gets wrong.

    Raises:
        ExeuntError: The table is of a regression.
    """
    right = right_classes(table)
    stays = right.flip(0).long().cumprod(dim=0)
    return table.num_exits - stays.sum(dim=0)


def _share(which: Tensor) -> float:
    return which.double().mean().item()


def _shares(which: Tensor) -> tuple[float, ...]:
    return tuple(which.double().mean(dim=1).tolist())
