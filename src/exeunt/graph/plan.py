"""Where each buffer lies: offsets in one arena, and how far that is from the least possible."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from exeunt.graph.buffers import Buffer, live_bytes

_ROUNDS = 400  # of moving what lies at the top to the front


@dataclass(frozen=True)
class Plan:
    """A placement of buffers.

    Attributes:
        buffers: what is placed.
        offsets_bytes: of each, in the same order.
        arena_bytes: the end of the highest.
        bound_bytes: the largest sum of what is alive at one moment; no arena can be smaller.
    """

    buffers: tuple[Buffer, ...]
    offsets_bytes: tuple[int, ...]
    arena_bytes: int
    bound_bytes: int

    @property
    def waste_bytes(self) -> int:
        """What lies between the arena and the bound."""
        return self.arena_bytes - self.bound_bytes

    @property
    def offset_of(self) -> dict[str, int]:
        """Offset of every tensor by name."""
        return {
            name: offset
            for buffer, offset in zip(self.buffers, self.offsets_bytes, strict=True)
            for name in buffer.names
        }


def make_plan(buffers: Sequence[Buffer], *, align_bytes: int = 1) -> Plan:
    """Places buffers in as small an arena as is found.

    Each goes as low as those placed before it allow, in several orders; then the best order is
    improved by moving what lies highest to the front, as long as that helps, or the bound is met.
    Deterministic.

    Args:
        buffers: with sizes and lifetimes.
        align_bytes: that every offset is a multiple of.
    """
    bound = max(live_bytes(buffers))
    count = range(len(buffers))
    orders = [
        sorted(count, key=lambda i: (-buffers[i].size_bytes, buffers[i].first)),
        sorted(count, key=lambda i: (-buffers[i].size_bytes * _duration(buffers[i]), i)),
        sorted(count, key=lambda i: (buffers[i].first, -buffers[i].size_bytes)),
        sorted(count, key=lambda i: (-_duration(buffers[i]), -buffers[i].size_bytes)),
    ]
    tried = [(*_place(buffers, order, align_bytes), order) for order in orders]
    arena, offsets, order = min(tried, key=lambda found: found[0])
    chance = random.Random(0)
    for _ in range(_ROUNDS):
        if arena <= bound:
            break
        changed = _promoted(buffers, offsets, arena, order, chance)
        found, placed = _place(buffers, changed, align_bytes)
        if found <= arena:
            arena, offsets, order = found, placed, changed
    return Plan(tuple(buffers), tuple(offsets), arena, bound)


def _duration(buffer: Buffer) -> int:
    return buffer.last - buffer.first + 1


def _place(
    buffers: Sequence[Buffer], order: Sequence[int], align_bytes: int
) -> tuple[int, list[int]]:
    """The arena's size and the offsets, if buffers are placed in this order, each as low as it
    can.
    """
    offsets = [0] * len(buffers)
    placed: list[int] = []
    for i in order:
        near = sorted((offsets[j], j) for j in placed if buffers[j].meets(buffers[i]))
        offset = 0
        for start, j in near:
            if offset + buffers[i].size_bytes <= start:
                break
            offset = max(offset, start + buffers[j].size_bytes)
            offset += -offset % align_bytes
        offsets[i] = offset
        placed.append(i)
    return max(o + b.size_bytes for o, b in zip(offsets, buffers, strict=True)), offsets


def _promoted(
    buffers: Sequence[Buffer],
    offsets: Sequence[int],
    arena: int,
    order: Sequence[int],
    chance: random.Random,
) -> list[int]:
    """Another order: one that reaches the top, or a neighbour in time of it, comes earlier."""
    top = [i for i in order if offsets[i] + buffers[i].size_bytes == arena]
    one = chance.choice(top)
    near = [i for i in order if buffers[i].meets(buffers[one])]
    moved = chance.choice([one, *near])
    rest = [i for i in order if i != moved]
    rest.insert(chance.randrange(len(rest) + 1) if chance.random() < 0.5 else 0, moved)
    return rest
