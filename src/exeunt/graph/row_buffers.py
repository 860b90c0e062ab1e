"""Memory as buffers of rows: the rows of a tensor, or what an operator has of its own.

Every row has a place of its own in the arena, as long as it is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exeunt.graph.demand import Demand
from exeunt.graph.placement import Block, Span, live_bytes
from exeunt.graph.schedule import Schedule


@dataclass(frozen=True)
class RowBuffer:
    """Places of one size that belong together, wherever each of them lies.

    Attributes:
        name: of the tensor or, with a note in brackets, of the operator.
        row_bytes: of each place.
        spans: for each place all times when it is needed. A tensor has one for each row, an
            operator one for each that it makes, unless it needs the same throughout.
    """

    name: str
    row_bytes: int
    spans: tuple[tuple[Span, ...], ...]

    def live_bytes(self, events: int) -> NDArray[np.int64]:
        """What is needed of it at each of so many events."""
        return live_bytes(blocks_of([self]), events)


def row_buffers_of(schedule: Schedule, demand: Demand) -> tuple[list[RowBuffer], dict[str, int]]:
    """A row buffer for each tensor and each operator that needs one.

    Args:
        schedule: of a whole net.
        demand: what its rows need.

    Returns:
        The buffers, and the number of each tensor's. What is written over another row by row
        shares its buffer.
    """
    live_ranges, home = _live_ranges(schedule, demand)
    row_buffers = [
        RowBuffer(
            name, demand.row_bytes[name], tuple(((first, last),) for first, last in rows.T.tolist())
        )
        for name, rows in live_ranges.items()
    ]
    row_buffers += [
        RowBuffer(name, demand.row_bytes[name], tuple(spans))
        for name, spans in schedule.again.items()
    ]
    numbers = {buffer.name: k for k, buffer in enumerate(row_buffers)}
    home |= {name: name for name in schedule.again}
    for name, acts in schedule.acts.items():
        if acts and demand.kept_bytes[name]:
            kept = ((acts[0], acts[-1]),)
            row_buffers.append(RowBuffer(f"{name} (kept)", demand.kept_bytes[name], (kept,)))
        if acts and demand.scratch_bytes[name]:
            used: tuple[tuple[Span, ...], ...] = tuple(((at, at),) for at in acts)
            if len(acts) > len(schedule.born.get(name, ())):  # takes rows in, or makes some again
                used = (tuple(_united([(at, at) for at in acts])),)
            row_buffers.append(RowBuffer(f"{name} (scratch)", demand.scratch_bytes[name], used))
    return row_buffers, {name: numbers[owner] for name, owner in home.items()}


def blocks_of(row_buffers: Iterable[RowBuffer]) -> list[Block]:
    """The places of all buffers, in order."""
    return [Block(buffer.row_bytes, spans) for buffer in row_buffers for spans in buffer.spans]


def _live_ranges(
    schedule: Schedule, demand: Demand
) -> tuple[dict[str, NDArray[np.int64]], dict[str, str]]:
    """Live ranges of rows, first and last event (2, rows), by buffer; and each tensor's buffer."""
    live_ranges = {
        name: np.array([born, schedule.last[name][: len(born)]])
        for name, born in schedule.born.items()
        if born and name in demand.row_bytes
    }
    home = {name: name for name in live_ranges}
    for name in [made for made in schedule.acts if made in live_ranges]:
        owners = [
            home[source]
            for source in demand.replaceable[name]
            if source in home and np.array_equal(live_ranges[home[source]][1], live_ranges[name][0])
        ]
        if owners:
            longest = max(owners, key=lambda owner: int(np.diff(live_ranges[owner], axis=0).sum()))
            live_ranges[longest][1] = live_ranges.pop(name)[1]
            home[name] = longest
    return live_ranges, home


def _united(spans: Sequence[Span]) -> Iterator[Span]:
    """Spans in order, those that follow on each other as one."""
    start, end = spans[0]
    for first, last in spans[1:]:
        if first > end + 1:
            yield start, end
            start = first
        end = last
    yield start, end
