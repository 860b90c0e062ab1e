"""The tables of a generated model: rings, nodes, events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from exeunt.export.c.kernel import Kernel
from exeunt.export.c.source import CSource, repeating
from exeunt.graph.graph import Graph, Node
from exeunt.graph.moves import Beside
from exeunt.graph.operators import Concat
from exeunt.graph.streamed import StreamedPlan
from exeunt.graph.views import Parts, is_view

TAKE, IMAGE = 0x8000, 0x7FFF

Columns = tuple[int, int] | None


def write_tables(plan: StreamedPlan, kernels: Mapping[str, Kernel], source: CSource) -> None:
    """Defines the rings, parts, nodes, events and stage ends of a planned net.

    Args:
        plan: of the fused graph.
        kernels: of the nodes that write something, by their outputs, in order.
        source: to define them in.
    """
    graph = plan.graph
    # first, since a table of places that is equal would give its name to it
    source.array("uint32_t", "stage_ends", (end + 1 for end in plan.schedule.ends))
    ring_of: dict[tuple[str, Columns], int] = {}
    for name in (graph.image, *kernels):
        ring_of[name, None] = len(ring_of)
    made_by = ["the image", *(node.module for node in written(plan))]
    for node in written(plan):
        for part in (part for parts in plan.reads(node) for part in parts):
            if (part.tensor, part.columns) not in ring_of:
                ring_of[part.tensor, part.columns] = len(ring_of)
                made_by.append(f"columns {part.columns} of {made_by[ring_of[part.tensor, None]]}")
    rings = [_ring(plan, *key, source, number) for key, number in ring_of.items()]
    source.array("exn_ring", "rings", rings, [f"{k}: {name}" for k, name in enumerate(made_by)])
    place = {
        buffer.name: offsets
        for buffer, offsets in zip(plan.row_buffers, plan.offsets_bytes, strict=True)
    }
    nodes = []
    for number, node in enumerate(written(plan)):
        kernel, inputs = kernels[node.output], parts_of(node, plan)
        parts = [
            f"{{{ring_of[part.tensor, part.columns]}, {part.first}, {part.channels}}}"
            for parts in inputs
            for part in parts
        ]
        counts = [*map(len, inputs), 0]
        listed = source.array("exn_part", f"parts_{number}", parts)
        take = f"{kernel.name}_take" if kernel.accumulates else "NULL"
        (kept,) = place.get(f"{node.output} (kept)", (0,))
        used = repeating(place.get(f"{node.output} (scratch)", (0,)))
        scratch = source.array("uint32_t", f"scratch_{number}", used)
        nodes.append(
            f"{{{kernel.name}_make, {take}, {kernel.spec}, {listed}, {{{counts[0]}, {counts[1]}}}, "
            f"{ring_of[node.output, None]}, {kept}, {scratch}, {len(used)}}}"
        )
    told = [described(node, graph, number) for number, node in enumerate(written(plan))]
    source.array("exn_node", "nodes", nodes, told)
    number_of = {name: k for k, name in enumerate(kernels)}
    events = []
    for event in plan.schedule.events:
        at = IMAGE if event.node is None else number_of[event.node.output]
        events.append(f"{{{at | (TAKE if event.takes else 0)}, {event.row}}}")
    source.array("exn_event", "events", events)
    source.array("uint16_t", "logits", (ring_of[stage.logits, None] for stage in graph.stages))


def written(plan: StreamedPlan) -> Iterator[Node]:
    """The nodes that write something, in the order in which they are first carried out; the others
    are another look at what others have written, or nobody reads them.
    """
    nodes = (node for node in plan.graph.nodes if node.output in plan.home)
    acting = [node for node in nodes if not is_view(node.output, plan.segments)]
    return iter(sorted(acting, key=lambda node: plan.schedule.acts[node.output][0]))


def described(node: Node, graph: Graph, number: int) -> str:
    """A node as Python names it: its place among those that are written, module, operator, the
    shapes that it takes and gives, and what it costs.
    """
    shapes = [graph.shapes[name] for name in node.inputs]
    macs = graph.macs[node.output]
    sizes = " and ".join("x".join(map(str, shape)) for shape in shapes)
    made = "x".join(map(str, graph.shapes[node.output]))
    cost = f", {macs:,} multiply-adds" if macs else ""
    return f"{number}: {node.module}, {node.operator.kind}, {sizes} to {made}{cost}"


def parts_of(node: Node, plan: StreamedPlan) -> list[Parts]:
    """The parts of each input of a node, channels in order; what is joined is one input."""
    inputs = list(plan.reads(node))
    if isinstance(node.operator, Concat | Beside):
        return [tuple(part for parts in inputs for part in parts)]
    return inputs


def _ring(plan: StreamedPlan, name: str, columns: Columns, source: CSource, number: int) -> str:
    """The ring of a tensor, or of some of its columns."""
    offsets = repeating(plan.offsets_of(name))
    height, width = _size(plan.graph, name)
    channels = plan.graph.shapes[name][0]
    if columns is not None:
        pixel_bytes = plan.row_buffers[plan.home[name]].row_bytes // width
        offsets = [offset + columns[0] * pixel_bytes for offset in offsets]
        width = columns[1] - columns[0]
    places = source.array("uint32_t", f"places_{number}", offsets)
    return f"{{{places}, {len(offsets)}, {height}, {width}, {channels}}}"


def _size(graph: Graph, name: str) -> tuple[int, int]:
    shape = graph.shapes[name]
    return (shape[1], shape[2]) if len(shape) == 3 else (1, 1)
