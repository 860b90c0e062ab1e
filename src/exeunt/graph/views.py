"""Tensors that are but another look at others: nothing is written for them.

A concatenation is its members, a slice of channels a part of what it is cut from, and a flattened
map that map. Whoever reads a row of one reads that row of each part, where the part lies.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from exeunt.graph.graph import Graph, Node
from exeunt.graph.moves import Columns
from exeunt.graph.operators import Concat, Flatten, Linear, Slice, Unflatten

_CHANNELS = 0  # the axis of (C, H, W)


@dataclass(frozen=True)
class Segment:
    """Channels of a tensor that is stored.

    Attributes:
        tensor: its name.
        first: the first of them.
        channels: how many.
        columns: the first of its columns and their end; None for all.
    """

    tensor: str
    first: int
    channels: int
    columns: tuple[int, int] | None = None


Parts = tuple[Segment, ...]
"""What a tensor is read as, channels in order."""


def segments_of(graph: Graph) -> dict[str, Parts]:
    """What each tensor of a graph is read as: itself, or parts of others.

    A flattened map is read as the map, (C, H, W), if nothing but matrices read it. Logits are
    always stored.
    """
    readers: dict[str, list[Node]] = defaultdict(list)
    for node in graph.nodes:
        for name in node.inputs:
            readers[name].append(node)
    logits = {stage.logits for stage in graph.stages}
    segments = {graph.image: _itself(graph, graph.image)}
    for node in graph.nodes:
        name, operator, taken = node.output, node.operator, node.inputs[0]
        parts = _itself(graph, name)
        if name in logits:
            pass
        elif isinstance(operator, Concat):
            parts = _joined(part for taken in node.inputs for part in segments[taken])
        elif isinstance(operator, Columns):
            columns = operator.start, operator.stop
            parts = tuple(replace(part, columns=columns) for part in segments[taken])
        elif isinstance(operator, Slice) and operator.axis == _CHANNELS and operator.step == 1:
            parts = _cut(segments[taken], operator.start, operator.stop)
        elif (
            isinstance(operator, Flatten)
            and (
                graph.shapes[taken][1:] == (1, 1)
                or all(isinstance(reader.operator, Linear) for reader in readers[name])
            )
        ) or operator == Unflatten():
            parts = segments[taken]
        segments[name] = parts
    return segments


def is_view(name: str, segments: Mapping[str, Parts]) -> bool:
    """Whether nothing is written for a tensor, by what `segments_of` says."""
    return all(part.tensor != name for part in segments[name])


def is_whole(parts: Parts, graph: Graph) -> bool:
    """Whether they are one tensor with all of its channels, in some columns or all."""
    return tuple(replace(part, columns=None) for part in parts) == _itself(graph, parts[0].tensor)


def _itself(graph: Graph, name: str) -> Parts:
    return (Segment(name, 0, graph.shapes[name][_CHANNELS]),)


def _joined(parts: Iterable[Segment]) -> Parts:
    """Parts behind each other, neighbours in one tensor as one."""
    joined: list[Segment] = []
    for part in parts:
        before = joined[-1] if joined else None
        if before and (before.tensor, before.first + before.channels) == (part.tensor, part.first):
            joined[-1] = Segment(part.tensor, before.first, before.channels + part.channels)
        else:
            joined.append(part)
    return tuple(joined)


def _cut(parts: Iterable[Segment], start: int, stop: int) -> Parts:
    """Channels `start` up to `stop` of parts that lie behind each other."""
    kept = []
    at = 0
    for part in parts:
        low, high = max(start - at, 0), min(stop - at, part.channels)
        if low < high:
            kept.append(Segment(part.tensor, part.first + low, high - low))
        at += part.channels
    return tuple(kept)
