"""What the rows of a stage's tensors are made of and who reads them, whatever the order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from exeunt.graph.graph import Graph
from exeunt.graph.rows import row_count, rows_needed
from exeunt.graph.schedule import Event
from exeunt.graph.views import Parts, is_view

Reads = list[tuple[int, int, int]]
"""Rows that are read: number of the tensor, first row, end."""


class StageRows:
    """One stage, its tensors by number.

    Args:
        graph: of a whole net, fused.
        stage: its number, from 0.
        segments: what `segments_of` says of the graph.
        later: which rows of which tensors later stages read.

    Attributes:
        nodes: those that write a tensor; views are left out.
        names: of the tensors that these write, in the same order; then of the image, if it arrives
            in this stage; then of what earlier stages made.
        made: how many of them are made here.
        heights: rows of each; of one that is made here, up to the last that anyone reads.
        reads: for each node and row of its output, what that is made of.
        accumulates: whether each node takes in its input row by row.
        readers: for each tensor and row, how many events of this stage read it.
        held: for each tensor and row, whether it is needed when the stage is done.
        logits: name of what the exit gives.
    """

    def __init__(
        self,
        graph: Graph,
        stage: int,
        segments: Mapping[str, Parts],
        later: Mapping[str, Sequence[bool]],
    ) -> None:
        self.nodes = [n for n in graph.stages[stage].nodes if not is_view(n.output, segments)]
        self.logits = graph.stages[stage].logits
        self.accumulates = [node.operator.accumulates for node in self.nodes]
        sources = [
            list(dict.fromkeys(part.tensor for name in node.inputs for part in segments[name]))
            for node in self.nodes
        ]
        made = [node.output for node in self.nodes] + [graph.image] * (stage == 0)
        read = [name for names in sources for name in names]
        self.names = list(dict.fromkeys([*made, *read, *later]))
        self.made = len(made)
        self.numbers = {name: k for k, name in enumerate(self.names)}
        self.heights = [row_count(graph.shapes[name]) for name in self.names]
        self.readers = [[0] * height for height in self.heights]
        self.held = [
            list(later.get(name, [False] * height))
            for name, height in zip(self.names, self.heights, strict=True)
        ]
        self.held[self.numbers[self.logits]] = [True]
        self.reads: list[list[Reads]] = [[] for _ in self.nodes]
        nodes = range(len(self.nodes))
        for k in (*reversed(nodes), *range(len(nodes), len(self.names))):
            read_or_held = zip(self.readers[k], self.held[k], strict=True)
            self.heights[k] = max(
                (r for r, why in enumerate(read_or_held, 1) if any(why)), default=0
            )
            if k in nodes:
                rows = range(self.heights[k])
                self.reads[k] = [self._reads(graph, k, sources[k], row) for row in rows]
                self._count(k)
        self.makes = [
            [Event(self.nodes[k] if k in nodes else None, row) for row in range(self.heights[k])]
            for k in range(self.made)
        ]
        self.takes = [
            [Event(node, row, takes=True) for row in range(_taken(reads) if takes else 0)]
            for node, reads, takes in zip(self.nodes, self.reads, self.accumulates, strict=True)
        ]

    def _reads(self, graph: Graph, k: int, sources: Sequence[str], row: int) -> Reads:
        """What a row is made of, without what lies outside; or what must be taken in before it."""
        node, reads = self.nodes[k], []
        for name in sources:
            shapes = graph.shapes[name], graph.shapes[node.output]
            rows = rows_needed(node.operator, *shapes, row)
            if rows:
                reads.append((self.numbers[name], rows.start, rows.stop))
        return reads

    def _count(self, k: int) -> None:
        """Counts a node among the readers of its inputs.

        What accumulates takes in every row once, those too that it makes nothing of.
        """
        reads = [read for row in self.reads[k] for read in row]
        if self.accumulates[k]:
            sources = dict.fromkeys(number for number, _, _ in reads)
            reads = [(number, 0, _taken(self.reads[k])) for number in sources]
        for number, start, end in reads:
            for row in range(start, end):
                self.readers[number][row] += 1


def _taken(reads: Sequence[Reads]) -> int:
    """How many rows of its inputs a node takes in."""
    return max((end for needed in reads for _, _, end in needed), default=0)


def stages_of(graph: Graph, segments: Mapping[str, Parts]) -> list[StageRows]:
    """All stages of a net, in order."""
    later: dict[str, list[bool]] = {}
    stages: list[StageRows] = []
    for k in reversed(range(len(graph.stages))):
        stage = StageRows(graph, k, segments, later)
        stages.insert(0, stage)
        for number, name in enumerate(stage.names):
            if number < stage.made:
                later.pop(name, None)
            else:
                later[name] = [
                    held or count > 0
                    for held, count in zip(stage.held[number], stage.readers[number], strict=True)
                ]
    return stages
