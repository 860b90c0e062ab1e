"""Memory when rows stream: rings, whole maps, and what operators keep, in one arena.

A tensor is a ring of as many rows as are ever needed at once. Where that is all of them, its rows
come and go one by one, so that a map may grow where another shrinks.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from exeunt.graph.fuse import InvertedResidual, fuse_residuals
from exeunt.graph.graph import Graph, Node
from exeunt.graph.operators import Conv, GlobalAverage, GridPool, Whole
from exeunt.graph.rows import row_count
from exeunt.graph.schedule import Schedule, reads_of, schedule_rows
from exeunt.ops.recurrence import CELLS
from exeunt.ops.rex import ReX2d

SCORE_BYTES = 2  # of an int8 net's logits, which policies look at
SUM_BYTES = 4


@dataclass(frozen=True)
class Strip:
    """Memory of one tensor, or of one operator's own.

    Attributes:
        name: of the tensor or, with a note in brackets, of the operator.
        row_bytes: of each slot.
        spans: first and last event that each slot is needed for, in order of their addresses.
    """

    name: str
    row_bytes: int
    spans: tuple[tuple[int, int], ...]
    align_bytes: int = 1

    @property
    def size_bytes(self) -> int:
        return self.row_bytes * len(self.spans)


@dataclass(frozen=True)
class StreamedPlan:
    """Where the strips lie.

    Attributes:
        graph: what is run, with what is fused.
        strips: of all tensors and operators.
        home: the strip of each tensor, by name.
        offsets_bytes: of each.
        arena_bytes: the end of the highest.
        bound_bytes: the most that is needed at one event.
        schedule: of the rows.
        whole: tensors that are completed before they are read.
    """

    graph: Graph
    strips: tuple[Strip, ...]
    home: dict[str, int]
    offsets_bytes: tuple[int, ...]
    arena_bytes: int
    bound_bytes: int
    schedule: Schedule
    whole: frozenset[str]


def plan_stream(graph: Graph, element_bytes: int, *, image: bool = True) -> StreamedPlan:
    """The smallest arena found: streaming from the image up to some block, then block by block, and
    then whatever block is better whole, or better streamed, until there is none.

    Args:
        graph: of a whole net.
        element_bytes: 4 for float32, 1 for int8 (whose recurrent states take 2, and sums 4).
        image: whether the rows of the image that are needed take memory, too.
    """
    search = _Search(fuse_residuals(graph), element_bytes, image)
    blocks = _block_ends(search.graph)
    for start in range(len(blocks) + 1):
        search.attempt(frozenset(blocks[start:]))
    better = True
    while better:
        better = False
        for block in blocks:
            better |= search.attempt(search.best.whole ^ {block})
    return search.best


def _block_ends(graph: Graph) -> list[str]:
    """What the last node of each block gives, in order; the exits' are left out."""
    ends: dict[str, str] = {}
    for node in graph.nodes:
        if ".exit" not in node.block:
            ends[node.block] = node.output
    return list(ends.values())


class _Search:
    """Plans of one graph, the best of which is kept."""

    best: StreamedPlan

    def __init__(self, graph: Graph, element_bytes: int, image: bool) -> None:
        self.graph, self.element_bytes, self.image = graph, element_bytes, image
        self.reads = reads_of(graph)
        self.least = math.inf

    def attempt(self, whole: frozenset[str]) -> bool:
        """Plans with these tensors whole; returns whether that is better than all before."""
        schedule = schedule_rows(self.graph, whole, self.reads)
        strips, home = _tensors(self.graph, schedule, self.element_bytes, self.image)
        strips += _operators(self.graph, schedule, self.element_bytes)
        bound = _bound(strips, len(schedule.events))
        if bound >= self.least:
            return False
        offsets = _offsets(strips)
        arena = max(o + s.size_bytes for o, s in zip(offsets, strips, strict=True))
        if arena >= self.least:
            return False
        self.least = arena
        self.best = StreamedPlan(
            self.graph, tuple(strips), home, tuple(offsets), arena, bound, schedule, whole
        )
        return True


def _offsets(strips: Sequence[Strip]) -> list[int]:
    """Places the largest first, each as low as it can."""
    offsets = [0] * len(strips)
    placed: list[int] = []
    for i in sorted(range(len(strips)), key=lambda i: -strips[i].size_bytes):
        offsets[i] = _lowest(strips[i], [(strips[j], offsets[j]) for j in placed])
        placed.append(i)
    return offsets


def _tensors(
    graph: Graph, schedule: Schedule, element_bytes: int, image: bool
) -> tuple[list[Strip], dict[str, int]]:
    """A strip for each tensor, and which one it has; a sum in place shares that of its input."""
    home: dict[str, str] = {}
    spans: dict[str, list[list[int]]] = {}
    for name in [graph.image, *(node.output for node in graph.nodes)]:
        if name != graph.image or image:
            ends = zip(schedule.born[name], schedule.last[name], strict=True)
            spans[name] = [list(span) for span in ends]
            home[name] = name
    for node in graph.nodes:
        operator = node.operator
        if isinstance(operator, InvertedResidual) and operator.residual:
            source = home[node.inputs[0]]
            theirs, mine = spans[source], spans[node.output]
            if all(a[1] <= b[0] for a, b in zip(theirs, mine, strict=True)):
                spans[source] = [[a[0], b[1]] for a, b in zip(theirs, mine, strict=True)]
                home[node.output] = source
                del spans[node.output]
    strips = []
    scores = {stage.logits for stage in graph.stages}
    for name, rows in spans.items():
        numbers_bytes = SCORE_BYTES if element_bytes == 1 and name in scores else element_bytes
        row_bytes = graph.elements(name) // row_count(graph.shapes[name]) * numbers_bytes
        strips.append(Strip(name, row_bytes, _slots(rows), numbers_bytes))
    numbers = {name: k for k, name in enumerate(spans)}
    return strips, {name: numbers[owner] for name, owner in home.items()}


def _slots(rows: list[list[int]]) -> tuple[tuple[int, int], ...]:
    """The spans of a ring's slots, or of all rows, if so many are needed at once."""
    most, oldest = 0, 0
    for newest, (born, _) in enumerate(rows):
        while oldest < newest and max(last for _, last in rows[: oldest + 1]) < born:
            oldest += 1
        most = max(most, newest - oldest + 1)
    if most == len(rows):
        return tuple((a, b) for a, b in rows)
    ends = (min(a for a, _ in rows), max(b for _, b in rows))
    return (ends,) * most


def _operators(graph: Graph, schedule: Schedule, element_bytes: int) -> Iterable[Strip]:
    for node in graph.nodes:
        size = kept_bytes(graph, node, element_bytes)
        if size:
            yield Strip(f"{node.output} (kept)", size, (schedule.spans[node.output],), SUM_BYTES)


def kept_bytes(graph: Graph, node: Node, element_bytes: int) -> int:
    """What an operator keeps between rows, in bytes.

    A sum takes 4 bytes, whatever the elements are; the states of ReX take 2 at least. An inverted
    residual keeps the expanded rows that a later row reads again. The row that is new is expanded
    pixel by pixel, into the places that the oldest row leaves, so that of it no more than the width
    of the kernel is needed besides, and one pixel of filtered channels. A dilated convolution
    gathers the pixels under its kernel.
    """
    operator, taken = node.operator, graph.shapes[node.inputs[0]]
    if isinstance(operator, GlobalAverage):
        return 4 * taken[0]
    if isinstance(operator, GridPool):
        shared = 2 if taken[1] % operator.grid[0] else 1  # a row may lie in two rows of cells
        return 4 * taken[0] * operator.grid[1] * shared
    if isinstance(operator, Conv) and operator.groups == 1 and operator.dilation != (1, 1):
        return taken[0] * math.prod(operator.kernel) * element_bytes
    if isinstance(operator, InvertedResidual):
        hidden, kernel = operator.depthwise.groups, operator.depthwise.kernel
        stride = operator.depthwise.stride[0]
        held = max(kernel[0] - stride, 0)
        pixels = 0 if operator.expand is None else held * (taken[2] + kernel[0] - held)
        return (pixels + 1) * hidden * element_bytes
    if isinstance(operator, Whole) and isinstance(operator.module, ReX2d):
        return _rex_numbers(operator.module, taken[1], taken[2]) * max(element_bytes, 2)
    return 0


def _rex_numbers(rex: ReX2d, height: int, width: int) -> int:
    """Column sweeps under way for all patches that overlap, and row summaries of one patch."""
    rows, columns = rex.windows(height, width)
    under_way = -(-rows.size // rows.hop)
    across = -(-columns.size // columns.hop)
    sweeps = (under_way * columns.lines + across) * CELLS[rex.cell].states
    return (sweeps + rows.size * columns.out) * rex.hidden1


def _lowest(strip: Strip, placed: Collection[tuple[Strip, int]]) -> int:
    """The lowest offset at which no slot meets one that is needed at the same time."""
    size = strip.row_bytes
    forbidden = []
    mine = np.array(strip.spans)
    at = np.arange(len(mine)) * size
    for other, offset in placed:
        theirs = np.array(other.spans)
        there = offset + np.arange(len(theirs)) * other.row_bytes
        meet = (mine[:, None, 0] <= theirs[None, :, 1]) & (theirs[None, :, 0] <= mine[:, None, 1])
        r, q = np.nonzero(meet)
        forbidden.append(np.stack([there[q] - at[r] - size, there[q] + other.row_bytes - at[r]]))
    if not forbidden:
        return 0
    starts, ends = np.concatenate(forbidden, axis=1)
    offset = 0
    for k in np.argsort(starts):
        if starts[k] >= offset:
            break
        offset = max(offset, int(ends[k]))
        offset += -offset % strip.align_bytes
    return offset


def _bound(strips: Iterable[Strip], events: int) -> int:
    steps = np.zeros(events + 1, dtype=np.int64)
    for strip in strips:
        for first, last in strip.spans:
            steps[first] += strip.row_bytes
            steps[last + 1] -= strip.row_bytes
    return int(steps.cumsum().max())
