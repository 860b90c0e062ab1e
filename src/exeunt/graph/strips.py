"""Memory in strips: the rows of a tensor, or what an operator has of its own.

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
class Strip:
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


def strips_of(schedule: Schedule, demand: Demand) -> tuple[list[Strip], dict[str, int]]:
    """A strip for each tensor and each operator that needs one.

    Args:
        schedule: of a whole net.
        demand: what its rows need.

    Returns:
        The strips, and the number of each tensor's. What is written over another row by row shares
        its strip.
    """
    lives, home = _lives(schedule, demand)
    strips = [
        Strip(
            name, demand.row_bytes[name], tuple(((first, last),) for first, last in rows.T.tolist())
        )
        for name, rows in lives.items()
    ]
    for name, acts in schedule.acts.items():
        if acts and demand.kept_bytes[name]:
            kept = ((acts[0], acts[-1]),)
            strips.append(Strip(f"{name} (kept)", demand.kept_bytes[name], (kept,)))
        if acts and demand.scratch_bytes[name]:
            used: tuple[tuple[Span, ...], ...] = tuple(((at, at),) for at in acts)
            if len(acts) > len(schedule.born[name]):  # it takes rows in, too
                used = (tuple(_united([(at, at) for at in acts])),)
            strips.append(Strip(f"{name} (scratch)", demand.scratch_bytes[name], used))
    numbers = {name: k for k, name in enumerate(lives)}
    return strips, {name: numbers[owner] for name, owner in home.items()}


def blocks_of(strips: Iterable[Strip]) -> list[Block]:
    """The places of all strips, in order."""
    return [Block(strip.row_bytes, spans) for strip in strips for spans in strip.spans]


def _lives(
    schedule: Schedule, demand: Demand
) -> tuple[dict[str, NDArray[np.int64]], dict[str, str]]:
    """First and last event of every row, (2, rows), by strip; and the strip of each tensor."""
    lives = {
        name: np.array([born, schedule.last[name][: len(born)]])
        for name, born in schedule.born.items()
        if born and name in demand.row_bytes
    }
    home = {name: name for name in lives}
    for name in [made for made in schedule.acts if made in lives]:
        owners = [
            home[source]
            for source in demand.replaceable[name]
            if source in home and np.array_equal(lives[home[source]][1], lives[name][0])
        ]
        if owners:
            longest = max(owners, key=lambda owner: int(np.diff(lives[owner], axis=0).sum()))
            lives[longest][1] = lives.pop(name)[1]
            home[name] = longest
    return lives, home


def _united(spans: Sequence[Span]) -> Iterator[Span]:
    """Spans in order, those that follow on each other as one."""
    start, end = spans[0]
    for first, last in spans[1:]:
        if first > end + 1:
            yield start, end
            start = first
        end = last
    yield start, end
