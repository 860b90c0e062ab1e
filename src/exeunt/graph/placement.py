"""Blocks of memory, each needed at its times, put into one arena."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

_ROUNDS = 2000  # of improving an order, at most

Gap = tuple[int, int]
"""Two distances between which the offset of one block must not lie above that of another."""


@dataclass
class Block:
    """What is to be placed.

    Attributes:
        size_bytes: of all of it.
        first: when it is first needed.
        last: when it is last needed.
        gaps: by number of every other block that is needed at one of its times: how far it must not
            lie above that, in rising order.
    """

    size_bytes: int
    first: int
    last: int
    gaps: dict[int, list[Gap]] = field(default_factory=dict)


def keep_apart(blocks: Sequence[Block], i: int, j: int, gaps: list[Gap]) -> None:
    """Notes how far block `i` must not lie above block `j`, and so `j` above `i`."""
    blocks[i].gaps[j] = gaps
    blocks[j].gaps[i] = [(-high, -low) for low, high in reversed(gaps)]


def place(
    blocks: Sequence[Block], bound_bytes: int, *, align_bytes: int = 1, effort: int = 10_000_000
) -> list[int]:
    """Offsets of blocks, in as small an arena as is found.

    Each block goes as low as those placed before it allow, in several orders. The best order is
    improved by moving what reaches the top, or lies below that, to another place in it, as long as
    the bound is not met. Deterministic.

    Args:
        blocks: with the gaps between them.
        bound_bytes: that no arena can be smaller than.
        align_bytes: that every offset is a multiple of.
        effort: pairs of blocks to look at while the best order is improved.
    """
    found = _Placed([], [], math.inf)
    for order in _orders(blocks):
        found = _put(blocks, order, align_bytes, found.arena_bytes) or found
    chance = random.Random(0)
    pairs = sum(len(gaps) for block in blocks for gaps in block.gaps.values())
    for _ in range(min(_ROUNDS, effort // max(pairs, 1))):
        if found.arena_bytes <= bound_bytes:
            break
        changed = _changed(blocks, found, chance)
        found = _put(blocks, changed, align_bytes, found.arena_bytes) or found
    return found.offsets


@dataclass(frozen=True)
class _Placed:
    order: list[int]
    offsets: list[int]
    arena_bytes: float


def _put(
    blocks: Sequence[Block], order: list[int], align_bytes: int, limit_bytes: float
) -> _Placed | None:
    """Places blocks in this order, each as low as it can; None if the limit does not suffice."""
    offsets = [-1] * len(blocks)
    arena = 0
    for i in order:
        taken = [
            (offsets[j] + low, offsets[j] + high)
            for j, gaps in blocks[i].gaps.items()
            if offsets[j] >= 0
            for low, high in gaps
        ]
        taken.sort()
        offset = 0
        for low, high in taken:
            if low >= offset:
                break
            if high > offset:
                offset = high + -high % align_bytes
        offsets[i] = offset
        arena = max(arena, offset + blocks[i].size_bytes)
        if arena > limit_bytes:
            return None
    return _Placed(order, offsets, arena)


def _orders(blocks: Sequence[Block]) -> Iterator[list[int]]:
    """By several ranks, and each time also as an arena is filled from the ground by that rank."""
    ranks: tuple[Callable[[Block], tuple[int, int]], ...] = (
        lambda block: (-block.size_bytes, -block.first),
        lambda block: (-block.size_bytes * (block.last - block.first + 1), block.first),
        lambda block: (block.first, -block.size_bytes),
        lambda block: (-block.last, -block.size_bytes),
        lambda block: (block.first - block.last, -block.size_bytes),
    )
    for rank in ranks:
        ranked = sorted(range(len(blocks)), key=lambda i: rank(blocks[i]))
        yield ranked
        yield _from_the_ground(blocks, ranked)


def _from_the_ground(blocks: Sequence[Block], ranked: Sequence[int]) -> list[int]:
    """Always what can lie lowest on top of the others; of several, what comes first in `ranked`."""
    rank = {i: k for k, i in enumerate(ranked)}
    floor = [0] * len(blocks)
    waiting = [(0, k) for k in range(len(blocks))]
    order: dict[int, None] = {}
    while waiting:
        offset, k = heappop(waiting)
        i = ranked[k]
        if i in order or offset < floor[i]:
            continue
        order[i] = None
        for j, gaps in blocks[i].gaps.items():
            top = offset - gaps[0][0]
            if top > floor[j] and j not in order:
                floor[j] = top
                heappush(waiting, (top, rank[j]))
    return list(order)


def _changed(blocks: Sequence[Block], found: _Placed, chance: random.Random) -> list[int]:
    """Another order: one that reaches the top, or is needed at one of its times, is moved, or
    changes places with a third.
    """
    order = found.order
    top = [i for i in order if found.offsets[i] + blocks[i].size_bytes == found.arena_bytes]
    highest = chance.choice(top)
    moved = chance.choice([highest, *blocks[highest].gaps])
    if chance.random() < 0.5:
        other = chance.choice([moved, *blocks[moved].gaps])
        swapped = {moved: other, other: moved}
        return [swapped.get(i, i) for i in order]
    rest = [i for i in order if i != moved]
    rest.insert(chance.randrange(len(order)) if chance.random() < 0.5 else 0, moved)
    return rest
