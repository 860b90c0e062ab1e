"""Where each buffer lies: offsets in one arena, and how far that is from the least possible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exeunt.graph.buffers import Buffer, live_bytes
from exeunt.graph.placement import Block, place


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
    """Places buffers in as small an arena as is found. Deterministic.

    Args:
        buffers: with sizes and lifetimes.
        align_bytes: that every offset is a multiple of.
    """
    bound = max(live_bytes(buffers))
    blocks = [Block(b.size_bytes, ((max(b.first, 0), b.last),)) for b in buffers]
    offsets = place(blocks, align_bytes=align_bytes)
    arena = max(o + b.size_bytes for o, b in zip(offsets, buffers, strict=True))
    return Plan(tuple(buffers), offsets, arena, bound)
