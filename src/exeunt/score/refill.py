"""Many images through the stages of a network, each stage on batches that are full.

Where rows of a batch leave, the next stage has fewer. Instead of running it on those, they wait
until rows of later batches have come to wait with them. So every stage runs on full batches, but
for one at the end, and an image gets the logits that it gets in any other company.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exeunt.score.network import Network, Parts


@dataclass(frozen=True, eq=False)
class Left:
    """Images that left together.

    Attributes:
        numbers: of the images, as they were given (n,).
        exit_index: where they left, from 0.
        logits: of that exit (n, K), float32.
    """

    numbers: NDArray[np.int64]
    exit_index: int
    logits: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Rows:
    """Images that wait for a stage: their numbers (n,), state, and what the policy remembers."""

    numbers: NDArray[np.int64]
    state: Parts
    memory: Parts


def run_refilled(
    network: Network, images: Iterable[tuple[int, Any]], batch_size: int, refill: bool = True
) -> Iterator[Left]:
    """Runs every image until the policy lets it leave.

    At no time do more than 2 `batch_size` rows wait for a stage.

    Args:
        network: that is open.
        images: numbers and images (C, H, W), one after the other; read as they are needed.
        batch_size: rows that a stage runs on.
        refill: False runs a stage at once on the rows that stay in, however few they are.

    Yields:
        Images in the order in which they leave; those whose logits are not finite leave at once.
    """
    last = len(network.exit_macs) - 1
    waiting: list[list[_Rows]] = [[] for _ in range(last + 1)]
    for numbers, some in _batches(images, batch_size):
        waiting[0] = [_Rows(numbers, network.begin(some), [])]
        for k in range(last + 1):
            least = batch_size if refill and k else 1
            while sum(len(rows.numbers) for rows in waiting[k]) >= least:
                yield from _run(network, k, waiting, batch_size)
    for k in range(last + 1):
        while waiting[k]:
            yield from _run(network, k, waiting, batch_size)


def _batches(
    images: Iterable[tuple[int, Any]], batch_size: int
) -> Iterator[tuple[NDArray[np.int64], list[Any]]]:
    numbers: list[int] = []
    some: list[Any] = []
    for number, image in images:
        numbers.append(number)
        some.append(image)
        if len(some) == batch_size:
            yield np.array(numbers), some
            numbers, some = [], []
    if some:
        yield np.array(numbers), some


def _run(network: Network, k: int, waiting: list[list[_Rows]], batch_size: int) -> Iterator[Left]:
    """Takes a batch of those that wait for stage k through it."""
    rows = _joined(network, waiting[k])
    waiting[k] = []
    if len(rows.numbers) > batch_size:
        order = np.arange(len(rows.numbers))
        waiting[k] = [_some(network, rows, order[batch_size:])]
        rows = _some(network, rows, order[:batch_size])
    logits, state = network.step(k, rows.state)
    numbers = network.numbers(logits)
    if k == len(waiting) - 1:
        yield Left(rows.numbers, k, numbers)
        return
    leave, memory = network.leave(k, logits, rows.memory)
    leave = leave | ~np.isfinite(numbers).all(1)  # which no policy can read
    gone, stay = np.flatnonzero(leave), np.flatnonzero(~leave)
    after = _Rows(rows.numbers, state, memory)
    if len(gone):
        yield Left(rows.numbers[gone], k, numbers[gone])
        after = _some(network, after, stay)
    if len(stay):
        waiting[k + 1].append(after)


def _joined(network: Network, pieces: Sequence[_Rows]) -> _Rows:
    if len(pieces) == 1:
        return pieces[0]
    return _Rows(
        np.concatenate([piece.numbers for piece in pieces]),
        [network.join(parts) for parts in zip(*(piece.state for piece in pieces), strict=True)],
        [network.join(parts) for parts in zip(*(piece.memory for piece in pieces), strict=True)],
    )


def _some(network: Network, rows: _Rows, chosen: NDArray[np.int64]) -> _Rows:
    return _Rows(
        rows.numbers[chosen],
        [network.take(part, chosen) for part in rows.state],
        [network.take(part, chosen) for part in rows.memory],
    )
