"""The plan of a net whose rows stream: where rings, whole maps and operators' own memory lie."""

from __future__ import annotations

from dataclasses import dataclass

from exeunt.graph.demand import Demand
from exeunt.graph.fuse import fuse
from exeunt.graph.graph import Graph, Node
from exeunt.graph.placement import place
from exeunt.graph.schedule import Schedule, joined
from exeunt.graph.search import order_stages
from exeunt.graph.stage_rows import stages_of
from exeunt.graph.strips import Strip, blocks_of, peak_bytes, strips_of
from exeunt.graph.views import Parts, segments_of

_FIRST_EFFORT, _LAST_EFFORT = 2_000_000, 6_000_000  # of placing each draft, and the best
_ENOUGH = 1.005  # of the bound: no other draft is made


@dataclass(frozen=True)
class StreamedPlan:
    """Where the strips lie.

    Attributes:
        graph: what is run, with what is fused.
        segments: what each of its tensors is read as, by name. Nothing is written for one that is
            not read as itself: a concatenation, a slice of channels, a flattened map.
        strips: of all tensors and operators.
        home: number of the strip of each tensor that is written, by name.
        offsets_bytes: of each strip.
        arena_bytes: the end of the highest.
        bound_bytes: the most that is needed at one event.
        schedule: of the rows; where the strips lie is right for this order alone.
    """

    graph: Graph
    segments: dict[str, Parts]
    strips: tuple[Strip, ...]
    home: dict[str, int]
    offsets_bytes: tuple[int, ...]
    arena_bytes: int
    bound_bytes: int
    schedule: Schedule

    def reads(self, node: Node) -> tuple[Parts, ...]:
        """For each input of a node the channels that make it, in order, where they are stored."""
        return tuple(self.segments[name] for name in node.inputs)


def plan_stream(
    graph: Graph, element_bytes: int, *, image: bool = True, align_bytes: int = 4
) -> StreamedPlan:
    """The smallest arena found. Deterministic.

    Args:
        graph: of a whole net.
        element_bytes: 4 for float32, 1 for int8 (whose recurrent states take 2, and sums 4).
        image: whether the rows of the image that are needed take memory, too.
        align_bytes: that the offset of every strip is a multiple of.
    """
    graph = fuse(graph)
    segments = segments_of(graph)
    demand = Demand.of(graph, segments, element_bytes, image)
    stages = stages_of(graph, segments)
    drafts = []
    for exclusive in (False, True):
        orders = order_stages(stages, demand, exclusive)
        draft = _Draft(joined([order.schedule for order in orders]), demand, align_bytes)
        draft.place(_FIRST_EFFORT)
        drafts.append(draft)
        if draft.arena_bytes <= _ENOUGH * draft.bound_bytes:
            break
    best = min(drafts, key=lambda draft: draft.arena_bytes)
    best.place(_LAST_EFFORT)
    return StreamedPlan(
        graph,
        segments,
        tuple(best.strips),
        best.home,
        tuple(best.offsets_bytes),
        best.arena_bytes,
        best.bound_bytes,
        best.schedule,
    )


class _Draft:
    """Strips for one schedule, and where they lie."""

    def __init__(self, schedule: Schedule, demand: Demand, align_bytes: int) -> None:
        self.schedule, self.align_bytes = schedule, align_bytes
        self.strips, self.home = strips_of(schedule, demand)
        self.bound_bytes = peak_bytes(self.strips, len(schedule.events))
        self.blocks = blocks_of(self.strips)

    def place(self, effort: int) -> None:
        self.offsets_bytes = place(
            self.blocks, self.bound_bytes, align_bytes=self.align_bytes, effort=effort
        )
        ends = zip(self.offsets_bytes, self.strips, strict=True)
        self.arena_bytes = max(offset + strip.size_bytes for offset, strip in ends)
