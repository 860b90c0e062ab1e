"""The order in which rows are made and taken in, and how long each is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from exeunt.graph.graph import Node


@dataclass(frozen=True)
class Event:
    """One row of a tensor is made, or taken in by an operator that accumulates.

    Attributes:
        node: which does it; None for the image, whose rows arrive.
        row: of the output, if it is made; of the input, if it is taken in.
        takes: whether it is taken in.
    """

    node: Node | None
    row: int
    takes: bool = False


@dataclass(frozen=True)
class Schedule:
    """Events in order, of one stage or of all.

    Rows at the end of a map that nobody reads are not made.

    Attributes:
        events: all of them.
        acts: which of them each node does, by its output.
        born: the event that makes each row, by tensor.
        last: the last event that needs it; -1 for a row that none needs.
        ends: the last event of each stage.
        again: of tensors whose rows are made whenever they are read, for each row all first and
            last events; these are not in `born` and `last`.
    """

    events: tuple[Event, ...]
    acts: dict[str, list[int]]
    born: dict[str, list[int]]
    last: dict[str, list[int]]
    ends: tuple[int, ...]
    again: Mapping[str, Sequence[tuple[tuple[int, int], ...]]] = field(default_factory=dict)


def joined(stages: Sequence[Schedule]) -> Schedule:
    """The schedule of all stages, from those that count from the first event of each."""
    counts = [len(stage.events) for stage in stages]
    acts: dict[str, list[int]] = {}
    born: dict[str, list[int]] = {}
    last: dict[str, list[int]] = {}
    for stage, start in zip(stages, accumulate(counts, initial=0), strict=False):
        acts |= {name: [start + at for at in when] for name, when in stage.acts.items()}
        born |= {name: [start + at for at in when] for name, when in stage.born.items()}
        for name, when in stage.last.items():
            before = last.get(name, [-1] * len(when))
            last[name] = [
                old if at < 0 else start + at for old, at in zip(before, when, strict=True)
            ]
    events = tuple(event for stage in stages for event in stage.events)
    return Schedule(events, acts, born, last, tuple(end - 1 for end in accumulate(counts)))
