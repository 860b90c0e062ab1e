"""Blocks of memory, each needed at its times, put into one arena."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EFFORT = 3_000_000  # neighbours of blocks that are looked at while orders are improved
FURTHER = 30_000_000  # as long as that brings the arena nearer to the least than `_ENOUGH`
_ENOUGH = 0.02
_ROUNDS, _RESTARTS = 60, 20  # of improving an order, before the next one's turn
_MOVES = (10, 3)  # a block moves by this part of an order at most; by turns
_CLOSER = 0.98  # of the best arena, if that is above the least: what to aim at
_MANY = 60  # neighbours of a block that numpy goes through faster

Span = tuple[int, int]
"""First and last event."""


@dataclass(frozen=True)
class Block:
    """What is to be placed.

    Attributes:
        size_bytes: of all of it.
        spans: all times when it is needed, in order.
    """

    size_bytes: int
    spans: tuple[Span, ...]


def live_bytes(blocks: Sequence[Block], events: int) -> NDArray[np.int64]:
    """What is needed at each of so many events."""
    steps = np.zeros(events + 1, dtype=np.int64)
    for block in blocks:
        for first, last in block.spans:
            steps[first] += block.size_bytes
            steps[last + 1] -= block.size_bytes
    return steps[:events].cumsum()


def least_bytes(blocks: Sequence[Block], align_bytes: int = 1) -> int:
    """What no arena can be smaller than, if every offset is a multiple of `align_bytes`.

    What is needed at one event lies apart, and all but the highest of it up to the next multiple.
    """
    events = max((last for block in blocks for _, last in block.spans), default=-1) + 1
    if not events:
        return 0
    padded = [Block(_up(block.size_bytes, align_bytes), block.spans) for block in blocks]
    needed = live_bytes(padded, events)
    spare = np.zeros(events, dtype=np.int64)
    for mine, theirs in zip(blocks, padded, strict=True):
        for first, last in mine.spans:
            part = spare[first : last + 1]
            np.maximum(part, theirs.size_bytes - mine.size_bytes, out=part)
    return int((needed - spare).max())


def place(
    blocks: Sequence[Block], *, align_bytes: int = 1, effort: int = EFFORT, further: int = 0
) -> tuple[int, ...]:
    """Offsets of blocks, in as small an arena as is found.

    Each block goes as low as those placed before it allow, in several orders. As long as the least
    is not met, what reaches too high comes earlier in the next round of an order. Deterministic.

    Args:
        blocks: with their times.
        align_bytes: that every offset is a multiple of.
        effort: neighbours to look at while orders are improved.
        further: as many, as long as the arena is more than 2 % above the least.
    """
    search = _Search(blocks, align_bytes)
    orders = sorted(_orders(blocks), key=search.put)
    chance = random.Random(0)
    most = _ROUNDS * _RESTARTS
    near = (1 + _ENOUGH) * search.least_bytes
    for at in range(min(most, max(effort, further) // (search.work + 1))):
        enough = search.least_bytes if at < effort // (search.work + 1) else near
        if search.arena_bytes <= enough:
            break
        turn = at // _ROUNDS
        if at % _ROUNDS == 0:
            order = orders[turn % len(orders)]
        search.put(order)
        order = search.blamed(order, len(blocks) // _MOVES[turn % len(_MOVES)], chance)
    return tuple(search.best)


class _Search:
    """The best offsets of some blocks so far."""

    def __init__(self, blocks: Sequence[Block], align_bytes: int) -> None:
        self.align_bytes = align_bytes
        self.sizes = np.array([block.size_bytes for block in blocks], dtype=np.int64)
        self.padded = -(-self.sizes // align_bytes) * align_bytes
        self.near = _neighbours(blocks)
        self.near_lists = [[] if len(near) > _MANY else near.tolist() for near in self.near]
        counts = [len(near) for near in self.near]
        self.work = sum(n if n <= _MANY else _MANY + n // 20 for n in counts)
        self.least_bytes = least_bytes(blocks, align_bytes)
        self.arena_bytes = int(self.padded.sum())
        self.best = (self.padded.cumsum() - self.padded).tolist()
        self.offsets: list[int] = []

    def put(self, order: Sequence[int]) -> int:
        """Places blocks in this order, each as low as it can; returns the arena that takes."""
        count = len(self.sizes)
        offsets, padded = [-1] * count, self.padded.tolist()
        lows, ends = np.full(count, -1, dtype=np.int64), np.zeros(count, dtype=np.int64)
        for i in order:
            near = self.near[i]
            if len(near) > _MANY:
                offset = _lowest(lows[near], ends[near], padded[i])
            else:
                taken = [(offsets[j], padded[j]) for j in self.near_lists[i] if offsets[j] >= 0]
                taken.sort()
                offset = 0
                for low, size in taken:
                    if low - offset >= padded[i]:
                        break
                    offset = max(offset, low + size)
            offsets[i] = lows[i] = offset
            ends[i] = offset + padded[i]
        self.offsets = offsets
        arena = int((lows + self.sizes).max(initial=0))
        if arena < self.arena_bytes:
            self.arena_bytes, self.best = arena, offsets
        return arena

    def blamed(self, order: Sequence[int], moves: int, chance: random.Random) -> list[int]:
        """Another order: what has just reached above the aim comes earlier in it."""
        aim = max(self.least_bytes, _CLOSER * self.arena_bytes)
        ends = (np.array(self.offsets) + self.sizes).tolist()
        rank = {
            i: place - (chance.randint(1, max(2, moves)) if ends[i] > aim else 0)
            for place, i in enumerate(order)
        }
        return sorted(order, key=lambda i: rank[i] + chance.random() / 2)


def _lowest(lows: NDArray[np.int64], ends: NDArray[np.int64], size: int) -> int:
    """The lowest place of this size beside others, of which those below 0 have none yet."""
    placed = lows >= 0
    lows, ends = lows[placed], ends[placed]
    order = np.argsort(lows)
    reached = np.concatenate([[0], np.maximum.accumulate(ends[order])])
    fits = lows[order] - reached[:-1] >= size
    return int(reached[fits.argmax() if fits.any() else -1])


def _neighbours(blocks: Sequence[Block]) -> list[NDArray[np.int64]]:
    """For each block the others that are needed at one of its times, in rising order."""
    spans = [(*span, i) for i, block in enumerate(blocks) for span in block.spans]
    if not spans:
        return []
    first, last, owner = np.array(sorted(spans)).T
    begin_while = np.searchsorted(first, last, side="right") - np.arange(len(first)) - 1
    one = np.repeat(np.arange(len(first)), begin_while)
    start = np.repeat(begin_while.cumsum() - begin_while, begin_while)
    other = one + 1 + np.arange(len(one)) - start
    a, b = owner[one], owner[other]
    pairs = np.unique(np.concatenate([a * len(blocks) + b, b * len(blocks) + a]))
    a, b = np.divmod(pairs, len(blocks))
    apart = a != b
    counts = np.bincount(a[apart], minlength=len(blocks))
    return np.split(b[apart], counts.cumsum()[:-1])


def _orders(blocks: Sequence[Block]) -> list[list[int]]:
    """By several ranks."""
    ends = [(block.spans[0][0], block.spans[-1][1]) for block in blocks]
    again = [len(block.spans) == 1 for block in blocks]  # what has several times comes first
    sizes = [block.size_bytes for block in blocks]
    ranks: tuple[Callable[[int], tuple[int, int]], ...] = (
        lambda i: (-sizes[i], ends[i][0]),
        lambda i: (-sizes[i] * (ends[i][1] - ends[i][0] + 1), ends[i][0]),
        lambda i: (ends[i][0] - ends[i][1], -sizes[i]),
        lambda i: (ends[i][0], -sizes[i]),
        lambda i: (-ends[i][1], -sizes[i]),
    )
    return [sorted(range(len(blocks)), key=lambda i: (again[i], rank(i))) for rank in ranks]


def _up(size_bytes: int, align_bytes: int) -> int:
    return -(-size_bytes // align_bytes) * align_bytes
