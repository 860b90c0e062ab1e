"""What the rows of a stage's tensors are made of and who reads them, whatever the order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from exeunt.graph.graph import Graph, Node
from exeunt.graph.rows import accumulates, row_count, rows_needed
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
        arriving = [graph.image] if stage == 0 else []
        sources = [
            list(dict.fromkeys(part.tensor for name in node.inputs for part in segments[name]))
            for node in self.nodes
        ]
        made = [*(node.output for node in self.nodes), *arriving]
        read = [name for names in sources for name in names]
        self.names = list(dict.fromkeys([*made, *read, *later]))
        self.made = len(made)
        self.numbers = {name: k for k, name in enumerate(self.names)}
        rows = [row_count(graph.shapes[name]) for name in self.names]
        self.held = [
            list(later.get(name, [False] * count))
            for name, count in zip(self.names, rows, strict=True)
        ]
        self.logits = graph.stages[stage].logits
        self.held[self.numbers[self.logits]] = [True]
        self.accumulates = [accumulates(node.operator) for node in self.nodes]
        self.readers = [[0] * count for count in rows]
        self.heights = list(rows)
        self.reads: list[list[Reads]] = [[] for _ in self.nodes]
        for k in (*reversed(range(len(self.nodes))), *range(len(self.nodes), len(self.names))):
            needed = [
                row + 1
                for row, (count, kept) in enumerate(zip(self.readers[k], self.held[k], strict=True))
                if count or kept
            ]
            self.heights[k] = max(needed, default=0)
            if k < len(self.nodes):
                inputs = [(name, self.numbers[name]) for name in sources[k]]
                self.reads[k] = _reads(graph, self.nodes[k], inputs, self.heights[k])
                self._count(k)
        writers = [*self.nodes, None] if arriving else self.nodes
        self.makes = [
            [Event(node, row) for row in range(height)]
            for node, height in zip(writers, self.heights, strict=False)
        ]
        self.takes = [
            [Event(node, row, takes=True) for row in range(_taken(reads) if takes else 0)]
            for node, reads, takes in zip(self.nodes, self.reads, self.accumulates, strict=True)
        ]

    def _count(self, k: int) -> None:
        """Counts a node among the readers of its inputs."""
        taken = 0
        for reads in self.reads[k]:
            for number, start, end in reads:
                first = max(start, taken) if self.accumulates[k] else start
                for row in range(first, end):
                    self.readers[number][row] += 1
            if self.accumulates[k]:
                taken = max([taken, *(end for _, _, end in reads)])


def _taken(reads: Sequence[Reads]) -> int:
    """Rows that are taken in for all of these."""
    return max((end for row in reads for _, _, end in row), default=0)


def _reads(graph: Graph, node: Node, inputs: Sequence[tuple[str, int]], height: int) -> list[Reads]:
    given = graph.shapes[node.output]
    reads = []
    for row in range(height):
        needed = [
            (number, rows_needed(node.operator, graph.shapes[name], given, row))
            for name, number in inputs
        ]
        reads.append([(number, rows.start, rows.stop) for number, rows in needed if rows])
    return reads


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
