"""The order in which rows are made and taken in, and how long each is needed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from exeunt.graph.graph import Graph, Node
from exeunt.graph.rows import accumulates, row_count, rows_needed


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
    """All events in order.

    Attributes:
        events: of all stages.
        born: the event that makes each row, by tensor.
        last: the last event that needs it.
        spans: the first and the last event of each node, by its output.
    """

    events: tuple[Event, ...]
    born: dict[str, list[int]]
    last: dict[str, list[int]]
    spans: dict[str, tuple[int, int]]


Reads: TypeAlias = dict[str, list[list[tuple[str, range]]]]
"""For each row of each tensor the rows of others that it is made of."""


def reads_of(graph: Graph) -> Reads:
    """What every row of a graph's tensors is made of."""
    shapes = graph.shapes
    return {
        node.output: [
            [
                (name, rows_needed(node.operator, shapes[name], shapes[node.output], row))
                for name in node.inputs
            ]
            for row in range(row_count(shapes[node.output]))
        ]
        for node in graph.nodes
    }


def schedule_rows(
    graph: Graph, whole: Collection[str] = (), reads: Reads | None = None
) -> Schedule:
    """Makes every row as late as the rows behind it allow: whoever is furthest and can, goes on.

    A stage is done before the next begins, since between them it is decided whether to go on.

    Args:
        graph: of a whole net.
        whole: names of tensors that are completed before anyone reads them.
        reads: what `reads_of` says of the graph, if it is known.
    """
    run = _Run(graph, frozenset(whole), reads_of(graph) if reads is None else reads)
    for k, stage in enumerate(graph.stages):
        run.stage(stage.nodes, arriving=k == 0)
        handed = stage.state if k < len(graph.stages) - 1 else ()
        for name in (stage.logits, *handed):
            run.last[name] = [max(when, len(run.events) - 1) for when in run.last[name]]
    return Schedule(tuple(run.events), run.born, run.last, run.spans)


@dataclass
class _Run:
    graph: Graph
    whole: frozenset[str]
    reads: Reads
    events: list[Event] = field(default_factory=list)
    born: dict[str, list[int]] = field(default_factory=dict)
    last: dict[str, list[int]] = field(default_factory=dict)
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.born[self.graph.image], self.last[self.graph.image] = [], []

    def stage(self, nodes: Sequence[Node], arriving: bool) -> None:
        made = {node.output: 0 for node in nodes}
        taken = {node.output: 0 for node in nodes if accumulates(node.operator)}
        self.born |= {name: [] for name in made}
        self.last |= {name: [] for name in made}
        image = self.graph.image
        while True:
            for node in reversed(nodes):
                if self._go_on(node, made, taken):
                    break
            else:
                if not arriving or self._complete(image):
                    return
                self._make(None, image, len(self.born[image]))

    def _go_on(self, node: Node, made: dict[str, int], taken: dict[str, int]) -> bool:
        """Lets a node make a row, or take one in, if it can."""
        row, reads = made[node.output], self.reads[node.output]
        if row == len(reads):
            return False
        if node.output in taken:
            ((source, rows),) = reads[row]
            absorbed = taken[node.output]
            if absorbed < rows.stop:
                if not self._is_there(source, absorbed + 1):
                    return False
                self.last[source][absorbed] = len(self.events)
                self._note(node)
                self.events.append(Event(node, absorbed, takes=True))
                taken[node.output] += 1
                return True
        else:
            if not all(self._is_there(name, rows.stop) for name, rows in reads[row]):
                return False
            for name, rows in reads[row]:
                for needed in rows:
                    self.last[name][needed] = len(self.events)
        self._note(node)
        self._make(node, node.output, row)
        made[node.output] += 1
        return True

    def _make(self, node: Node | None, name: str, row: int) -> None:
        self.born[name].append(len(self.events))
        self.last[name].append(len(self.events))
        self.events.append(Event(node, row))

    def _note(self, node: Node) -> None:
        first, _ = self.spans.get(node.output, (len(self.events), 0))
        self.spans[node.output] = first, len(self.events)

    def _is_there(self, name: str, rows: int) -> bool:
        if name in self.whole:
            return self._complete(name)
        return len(self.born.get(name, ())) >= rows

    def _complete(self, name: str) -> bool:
        return len(self.born.get(name, ())) == row_count(self.graph.shapes[name])
