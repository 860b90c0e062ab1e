"""Rows that are not kept from one window to the next: each is made again whenever it is read.

A filter of three rows reads two of them again for its next row. Where these lie long, and what they
are made of takes less or is there anyway, they are forgotten in between. What one row of the reader
needs is made for it, those rows in turn that these are made of, each once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from exeunt.graph.demand import Demand
from exeunt.graph.fuse import InvertedResidual
from exeunt.graph.graph import Graph, Node
from exeunt.graph.operators import Conv
from exeunt.graph.rows import rows_needed
from exeunt.graph.schedule import Event, Schedule
from exeunt.graph.views import Parts, is_whole

Segments = Mapping[str, Parts]


def may_be_fleeting(graph: Graph, segments: Segments, demand: Demand) -> tuple[str, ...]:
    """Maps that convolutions and inverted residuals make from no more than their rows, and that one
    of these alone reads, some rows more than once.

    Args:
        graph: of a whole net, fused.
        segments: what `segments_of` says of it.
        demand: what its rows need.
    """
    readers: dict[str, list[Node]] = defaultdict(list)
    for node in graph.nodes:
        for part in {part.tensor for name in node.inputs for part in segments[name]}:
            readers[part].append(node)
    replaced = {name for names in demand.replaceable.values() for name in names}
    stages = {node.output: k for k, stage in enumerate(graph.stages) for node in stage.nodes}
    found = []
    for node in graph.nodes:
        name, read = node.output, readers[node.output]
        if len(read) != 1 or name in replaced or demand.replaceable.get(name, ()):
            continue
        (reader,) = read
        alone = _keeps_nothing(node, demand) and _keeps_nothing(reader, demand)
        here = stages[name] == stages[reader.output]
        if alone and here and is_whole(segments[name], graph):
            uses = Counter(row for _, row in _rows_of(graph, reader, segments, {name}))
            if any(count > 1 for count in uses.values()):
                found.append(name)
    return tuple(found)


def _keeps_nothing(node: Node, demand: Demand) -> bool:
    return isinstance(node.operator, Conv | InvertedResidual) and not demand.kept_bytes[node.output]


def _rows_of(
    graph: Graph, node: Node, segments: Segments, names: Collection[str]
) -> Iterator[tuple[str, int]]:
    for row in range(graph.shapes[node.output][1]):
        yield from (read for read in _reads(graph, node, row, segments) if read[0] in names)


def _reads(graph: Graph, node: Node, row: int, segments: Segments) -> list[tuple[str, int]]:
    """Tensors and rows that one row is made of."""
    given = graph.shapes[node.output]
    tensors = dict.fromkeys(part.tensor for name in node.inputs for part in segments[name])
    return [
        (name, needed)
        for name in tensors
        for needed in rows_needed(node.operator, graph.shapes[name], given, row)
    ]


def with_fleeting(
    schedule: Schedule, graph: Graph, segments: Segments, names: Collection[str]
) -> tuple[Schedule, Graph]:
    """The same order, in which the rows of some tensors are made whenever they are read; and the
    graph, whose nodes say what that costs.

    Args:
        schedule: of a whole net, in which each row is made once.
        graph: of it, fused.
        segments: what `segments_of` says of the graph.
        names: of tensors that `may_be_fleeting`.
    """
    makers = {node.output: node for node in graph.nodes}
    events: list[Event] = []
    ends: list[int] = []

    def make_again(node: Node, row: int, made: set[tuple[str, int]]) -> None:
        for name, needed in _reads(graph, node, row, segments):
            if name in names and (name, needed) not in made:
                make_again(makers[name], needed, made)
                events.append(Event(makers[name], needed))
                made.add((name, needed))

    stage_ends = set(schedule.ends)
    for at, event in enumerate(schedule.events):
        if event.node is None or event.takes:
            events.append(event)
        elif event.node.output not in names:
            if not event.node.operator.accumulates:
                make_again(event.node, event.row, set())
            events.append(event)
        if at in stage_ends:
            ends.append(len(events) - 1)
    counts = Counter(
        (event.node.output, event.row)
        for event in events
        if event.node is not None and event.node.output in names
    )
    dearer = {
        name: replace(
            makers[name],
            again_macs=sum(
                (counts[name, row] - 1) * row_macs(graph, makers[name], row)
                for row in range(graph.shapes[name][1])
                if counts[name, row]
            ),
        )
        for name in names
    }
    stages = tuple(
        replace(stage, nodes=tuple(dearer.get(node.output, node) for node in stage.nodes))
        for stage in graph.stages
    )
    graph = replace(graph, stages=stages)
    named = [
        replace(event, node=dearer[event.node.output])
        if event.node is not None and event.node.output in names
        else event
        for event in events
    ]
    return _lives(named, ends, graph, segments, names), graph


def row_macs(graph: Graph, node: Node, row: int) -> int:
    """Multiply-adds of one row: of a convolution as of any other, of an inverted residual that
    expands all rows under its windows by how many these are.
    """
    operator, (_, height, width) = node.operator, graph.shapes[node.output]
    taken = graph.shapes[node.inputs[0]]
    if isinstance(operator, InvertedResidual) and operator.expand is not None:
        start, end = operator.window(row)
        inside = min(end, taken[1]) - max(start, 0)
        hidden, kernel = operator.depthwise.groups, operator.depthwise.kernel
        filtered = hidden * (kernel[0] * kernel[1] + graph.shapes[node.output][0]) * width
        return hidden * taken[0] * inside * taken[2] + filtered
    return operator.macs([taken], graph.shapes[node.output]) // height


def _lives(
    events: list[Event],
    ends: list[int],
    graph: Graph,
    segments: Segments,
    names: Collection[str],
) -> Schedule:
    """The schedule of these events: who makes what, and how long it is read."""
    acts: dict[str, list[int]] = {node.output: [] for node in graph.nodes}
    born: dict[str, list[int]] = defaultdict(list)
    last: dict[str, list[int]] = defaultdict(list)
    spans: dict[str, dict[int, list[list[int]]]] = {name: defaultdict(list) for name in names}
    logits = dict(zip(ends, (stage.logits for stage in graph.stages), strict=True))

    def read(name: str, row: int, at: int) -> None:
        if name in names:
            spans[name][row][-1][1] = at
        else:
            last[name][row] = at

    for at, event in enumerate(events):
        if event.node is not None:
            acts[event.node.output].append(at)
            if event.takes:
                for part in {p.tensor for name in event.node.inputs for p in segments[name]}:
                    read(part, event.row, at)
            elif not event.node.operator.accumulates:
                for name, row in _reads(graph, event.node, event.row, segments):
                    read(name, row, at)
        if not event.takes:
            made = graph.image if event.node is None else event.node.output
            if made in names:
                spans[made][event.row].append([at, at])
            else:
                born[made].append(at)
                last[made].append(at)
        if at in logits:
            last[logits[at]][0] = at
    again = {
        name: [tuple((first, end) for first, end in rows[row]) for row in sorted(rows)]
        for name, rows in spans.items()
        if rows
    }
    return Schedule(tuple(events), acts, dict(born), dict(last), tuple(ends), again)
