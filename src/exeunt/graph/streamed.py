"""The plan of a net whose rows stream: where every row and operators' own memory lie."""

from __future__ import annotations

from collections.abc import Collection
from copy import copy
from dataclasses import dataclass, replace
from itertools import islice

from exeunt.graph.boundary import AGAIN, MADE
from exeunt.graph.demand import Demand
from exeunt.graph.fleeting import may_be_fleeting, with_fleeting
from exeunt.graph.fuse import InvertedResidual, fuse
from exeunt.graph.graph import Graph, Node
from exeunt.graph.moves import Beside
from exeunt.graph.order import Rules
from exeunt.graph.placement import EFFORT, FURTHER, Block, least_bytes, live_bytes, place
from exeunt.graph.row_buffers import RowBuffer, blocks_of, row_buffers_of
from exeunt.graph.schedule import Schedule, joined
from exeunt.graph.search import order_stages
from exeunt.graph.stage_rows import stages_of
from exeunt.graph.views import Parts, segments_of


@dataclass(frozen=True)
class StreamedPlan:
    """Where the row_buffers lie.

    Attributes:
        graph: what is run, with what is fused.
        segments: what each of its tensors is read as, by name. Nothing is written for one that is
            not read as itself: a concatenation, a slice of channels, a flattened map.
        row_buffers: of all tensors and operators.
        home: number of the buffer of each tensor that is written, by name.
        offsets_bytes: of the places of each buffer: of a tensor's rows, in order.
        arena_bytes: the end of the highest.
        bound_bytes: the most that is needed at one event.
        least_bytes: the same, with what lies between places that begin at multiples: no arena of
            this order is smaller.
        schedule: of the rows; where the row_buffers lie is right for this order alone.
    """

    graph: Graph
    segments: dict[str, Parts]
    row_buffers: tuple[RowBuffer, ...]
    home: dict[str, int]
    offsets_bytes: tuple[tuple[int, ...], ...]
    arena_bytes: int
    bound_bytes: int
    least_bytes: int
    schedule: Schedule

    @property
    def macs(self) -> int:
        """Multiply-adds up to the last exit, with all that is computed again."""
        return sum(self.graph.macs.values())

    @property
    def price_macs(self) -> int:
        """Multiply-adds up to each exit, summed: what images take that leave at all exits alike."""
        return sum(self.graph.exit_macs)

    @property
    def recomputed_macs(self) -> int:
        """Of these, what is spent on rows and maps that are made again."""
        graph, once = self.graph, 0
        for node in graph.nodes:
            operator = node.operator
            if isinstance(operator, InvertedResidual):
                operator = replace(operator, recompute=False)
            if isinstance(operator, Beside):
                once += 0 if AGAIN in node.output else operator.once_macs
            elif MADE not in node.output:
                shapes = [graph.shapes[name] for name in node.inputs]
                once += operator.macs(shapes, graph.shapes[node.output])
        return self.macs - once

    @property
    def window_bytes(self) -> int:
        """Rows of the image that are held at once."""
        number = self.home.get(self.graph.image)
        if number is None:
            return 0
        born, last = (lives[self.graph.image] for lives in (self.schedule.born, self.schedule.last))
        rows = [
            Block(self.row_buffers[number].row_bytes, (span,))
            for span in zip(born, last, strict=False)
        ]
        return int(live_bytes(rows, len(self.schedule.events)).max(initial=0))

    def offsets_of(self, name: str) -> tuple[int, ...]:
        """Where the rows of a tensor that is written lie."""
        return self.offsets_bytes[self.home[name]]

    def reads(self, node: Node) -> tuple[Parts, ...]:
        """For each input of a node the channels that make it, in order, where they are stored."""
        return tuple(self.segments[name] for name in node.inputs)


def plan_stream(
    graph: Graph, element_bytes: int, *, image: bool = True, align_bytes: int = 4
) -> StreamedPlan:
    """The smallest arena found in which nothing is computed twice. Deterministic.

    Args:
        graph: of a whole net.
        element_bytes: 4 for float32, 1 for int8 (whose recurrent states take 2, and sums 4).
        image: whether the rows of the image that are needed take memory, too.
        align_bytes: that every offset is a multiple of.
    """
    return Draft(fuse(graph), element_bytes, image).placed(align_bytes, further=FURTHER)


class Draft:
    """An order of rows, and what it needs; nothing has a place yet.

    Args:
        graph: of a whole net, fused.
        element_bytes: 4 for float32, 1 for int8.
        image: whether the rows of the image that are needed take memory, too.
        like: a draft of the same tensors, whose order is taken; None to search for one.

    Attributes:
        live_bytes: what is needed at each event.
        rules: of the order, for each stage.
        fleeting: tensors whose rows are made whenever they are read.
    """

    def __init__(
        self, graph: Graph, element_bytes: int, image: bool, like: Draft | None = None
    ) -> None:
        self.segments = segments_of(graph)
        self.demand = Demand.of(graph, self.segments, element_bytes, image)
        rules = None if like is None else like.rules
        orders = order_stages(stages_of(graph, self.segments), self.demand, rules)
        self.rules: list[Rules] = [order.rules for order in orders]
        self._ordered = joined([order.schedule for order in orders]), graph
        self.fleeting: frozenset[str] = frozenset()
        self._set(*self._ordered)

    def _set(self, schedule: Schedule, graph: Graph) -> None:
        self.schedule, self.graph = schedule, graph
        self.row_buffers, self.home = row_buffers_of(self.schedule, self.demand)
        self.blocks = blocks_of(self.row_buffers)
        self.live_bytes = live_bytes(self.blocks, len(self.schedule.events))

    def with_fleeting(self, names: Collection[str]) -> Draft:
        """The same order, in which the rows of these tensors are made whenever they are read."""
        draft = copy(self)
        draft.fleeting = frozenset(names)
        draft._set(*with_fleeting(*self._ordered, self.segments, draft.fleeting))
        return draft

    def may_be_fleeting(self) -> tuple[str, ...]:
        """Tensors that `with_fleeting` takes."""
        return may_be_fleeting(self.graph, self.segments, self.demand)

    @property
    def macs(self) -> int:
        """Multiply-adds of all stages."""
        return sum(self.graph.macs.values())

    @property
    def price_macs(self) -> int:
        """Multiply-adds up to each exit, summed."""
        return sum(self.graph.exit_macs)

    @property
    def bound_bytes(self) -> int:
        """The most that is needed at one event."""
        return int(self.live_bytes.max())

    def placed(self, align_bytes: int, effort: int = EFFORT, further: int = 0) -> StreamedPlan:
        """A place for everything; see `place`."""
        offsets = place(self.blocks, align_bytes=align_bytes, effort=effort, further=further)
        rest = iter(offsets)
        return StreamedPlan(
            self.graph,
            self.segments,
            tuple(self.row_buffers),
            self.home,
            tuple(tuple(islice(rest, len(buffer.spans))) for buffer in self.row_buffers),
            max(at + block.size_bytes for at, block in zip(offsets, self.blocks, strict=True)),
            self.bound_bytes,
            least_bytes(self.blocks, align_bytes),
            self.schedule,
        )
