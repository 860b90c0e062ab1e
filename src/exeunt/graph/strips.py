"""Memory in strips: a ring of rows for a tensor, or what an operator has of its own.

A ring has as many slots as rows are ever needed at once. Where that is all of them, its rows come
and go one by one, so that a map may grow where another shrinks; and while a slot is empty, others
may lie there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_

import numpy as np
from numpy.typing import NDArray

from exeunt.graph.demand import Demand
from exeunt.graph.placement import Block, Gap, keep_apart
from exeunt.graph.schedule import Schedule

Span = tuple[int, int]
"""First and last event."""


@dataclass(frozen=True)
class Strip:
    """Slots of one size behind each other.

    Attributes:
        name: of the tensor or, with a note in brackets, of the operator.
        row_bytes: of each slot. Row r of a tensor lies in slot r modulo their number.
        spans: for each slot, in order of their addresses, all times when it is needed.
    """

    name: str
    row_bytes: int
    spans: tuple[tuple[Span, ...], ...]

    @property
    def size_bytes(self) -> int:
        return self.row_bytes * len(self.spans)


def strips_of(schedule: Schedule, demand: Demand) -> tuple[list[Strip], dict[str, int]]:
    """A strip for each tensor and each operator that needs one.

    Args:
        schedule: of a whole net.
        demand: what its rows need.

    Returns:
        The strips, and the number of each tensor's. What is written over another row by row shares
        its strip.
    """
    rings, home = _rings(schedule, demand)
    strips = [Strip(name, demand.row_bytes[name], _slots(*spans)) for name, spans in rings.items()]
    for name, acts in schedule.acts.items():
        if acts and demand.kept_bytes[name]:
            kept = ((acts[0], acts[-1]),)
            strips.append(Strip(f"{name} (kept)", demand.kept_bytes[name], (kept,)))
        if acts and demand.scratch_bytes[name]:
            used = tuple(_united([(at, at) for at in acts]))
            strips.append(Strip(f"{name} (scratch)", demand.scratch_bytes[name], (used,)))
    numbers = {name: k for k, name in enumerate(rings)}
    return strips, {name: numbers[owner] for name, owner in home.items()}


def live_bytes(strips: Iterable[Strip], events: int) -> NDArray[np.int64]:
    """What is needed at each of so many events."""
    steps = np.zeros(events + 1, dtype=np.int64)
    for strip in strips:
        for spans in strip.spans:
            for first, last in spans:
                steps[first] += strip.row_bytes
                steps[last + 1] -= strip.row_bytes
    return steps[:events].cumsum()


def peak_bytes(strips: Iterable[Strip], events: int) -> int:
    """The most that is needed at one of so many events: no arena can be smaller."""
    return int(live_bytes(strips, events).max())


def blocks_of(strips: Sequence[Strip]) -> list[Block]:
    """Strips with the gaps between them: slots that are needed at one time lie apart."""
    masks = [[_mask(spans) for spans in strip.spans] for strip in strips]
    ever = [reduce(or_, slots) for slots in masks]
    at_once = [reduce(and_, slots) for slots in masks]
    blocks = [
        Block(strip.size_bytes, (mask & -mask).bit_length() - 1, mask.bit_length() - 1)
        for strip, mask in zip(strips, ever, strict=True)
    ]
    for i, mine in enumerate(strips):
        for j, theirs in enumerate(strips[:i]):
            if at_once[i] & at_once[j]:
                keep_apart(blocks, i, j, [(-mine.size_bytes, theirs.size_bytes)])
            elif ever[i] & ever[j]:
                keep_apart(blocks, i, j, _gaps(mine, masks[i], theirs, masks[j]))
    return blocks


def _rings(
    schedule: Schedule, demand: Demand
) -> tuple[dict[str, NDArray[np.int64]], dict[str, str]]:
    """First and last event of every row, (2, rows), by ring; and the ring of each tensor."""
    rings = {
        name: np.array([born, schedule.last[name][: len(born)]])
        for name, born in schedule.born.items()
        if born and name in demand.row_bytes
    }
    home = {name: name for name in rings}
    for name in [made for made in schedule.acts if made in rings]:
        owners = [
            home[source]
            for source in demand.replaceable[name]
            if source in home and np.array_equal(rings[home[source]][1], rings[name][0])
        ]
        if owners:
            longest = max(owners, key=lambda owner: int(np.diff(rings[owner], axis=0).sum()))
            rings[longest][1] = rings.pop(name)[1]
            home[name] = longest
    return rings, home


def _slots(first: NDArray[np.int64], last: NDArray[np.int64]) -> tuple[tuple[Span, ...], ...]:
    """When each slot of a ring is needed."""
    rows = len(first)
    oldest = np.searchsorted(np.maximum.accumulate(last), first)
    slots = int((np.arange(rows) - oldest).max()) + 1
    spans = list(zip(first.tolist(), last.tolist(), strict=True))
    return tuple(tuple(_united(spans[slot::slots])) for slot in range(slots))


def _united(spans: Sequence[Span]) -> Iterator[Span]:
    """Spans in order, those that follow on each other as one."""
    start, end = spans[0]
    for first, last in spans[1:]:
        if first > end + 1:
            yield start, end
            start = first
        end = last
    yield start, end


def _mask(spans: Iterable[Span]) -> int:
    """A bit for each event."""
    return sum((1 << last + 1) - (1 << first) for first, last in spans)


def _gaps(
    mine: Strip, my_masks: Sequence[int], theirs: Strip, their_masks: Sequence[int]
) -> list[Gap]:
    """How far one strip must not lie above another."""
    forbidden = sorted(
        (
            q * theirs.row_bytes - (p + 1) * mine.row_bytes,
            (q + 1) * theirs.row_bytes - p * mine.row_bytes,
        )
        for p, my_mask in enumerate(my_masks)
        for q, their_mask in enumerate(their_masks)
        if my_mask & their_mask
    )
    gaps: list[Gap] = []
    for low, high in forbidden:
        if gaps and low < gaps[-1][1]:
            gaps[-1] = gaps[-1][0], max(high, gaps[-1][1])
        else:
            gaps.append((low, high))
    return gaps
