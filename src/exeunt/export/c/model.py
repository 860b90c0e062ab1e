"""The tables of a generated model: rings, nodes, events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from exeunt.export.c.kernel import Kernel
from exeunt.export.c.source import CSource
from exeunt.graph.graph import Graph, Node
from exeunt.graph.operators import Concat
from exeunt.graph.streamed import StreamedPlan

TAKE, IMAGE = 0x8000, 0x7FFF

Part: TypeAlias = tuple[str, int, int]
"""Channels of a tensor: its name, the first of them, and how many."""


def write_tables(plan: StreamedPlan, kernels: Sequence[Kernel], source: CSource) -> None:
    """Defines the rings, parts, nodes, events and stage ends of a planned net.

    Args:
        plan: of the fused graph.
        kernels: of its nodes, in order.
        source: to define them in.
    """
    graph = plan.graph
    tensors = [graph.image, *(node.output for node in graph.nodes)]
    ring_of = {name: k for k, name in enumerate(tensors)}
    source.array("exn_ring", "rings", (_ring(plan, name) for name in tensors))
    nodes = []
    kept = {
        strip.name: offset for strip, offset in zip(plan.strips, plan.offsets_bytes, strict=True)
    }
    for number, (node, kernel) in enumerate(zip(graph.nodes, kernels, strict=True)):
        inputs = parts_of(node, graph)
        parts = [
            f"{{{ring_of[name]}, {first}, {channels}}}"
            for parts in inputs
            for name, first, channels in parts
        ]
        counts = [*map(len, inputs), 0]
        listed = source.array("exn_part", f"parts_{number}", parts)
        take = f"{kernel.name}_take" if kernel.accumulates else "NULL"
        nodes.append(
            f"{{{kernel.name}_make, {take}, {kernel.spec}, {listed}, "
            f"{{{counts[0]}, {counts[1]}}}, {ring_of[node.output]}, "
            f"{kept.get(f'{node.output} (kept)', 0)}}}"
        )
    source.array("exn_node", "nodes", nodes)
    number_of = {node.output: k for k, node in enumerate(graph.nodes)}
    events = []
    for event in plan.schedule.events:
        at = IMAGE if event.node is None else number_of[event.node.output]
        events.append(f"{{{at | (TAKE if event.takes else 0)}, {event.row}}}")
    source.array("exn_event", "events", events)
    source.array("uint32_t", "stage_ends", _stage_ends(plan))
    source.array("uint16_t", "logits", (ring_of[stage.logits] for stage in graph.stages))


def parts_of(node: Node, graph: Graph) -> list[list[Part]]:
    """The parts of each input of a node, channels in order; what is joined is one input."""
    parts = [(name, 0, graph.shapes[name][0]) for name in node.inputs]
    return [parts] if isinstance(node.operator, Concat) else [[part] for part in parts]


def _stage_ends(plan: StreamedPlan) -> list[int]:
    """Events before the end of each stage."""
    ends, last = [], 0
    for stage in plan.graph.stages:
        last = max([last, *(plan.schedule.spans[node.output][1] + 1 for node in stage.nodes)])
        ends.append(last)
    return ends


def _ring(plan: StreamedPlan, name: str) -> str:
    strip = plan.strips[plan.home[name]]
    offset = plan.offsets_bytes[plan.home[name]]
    height, width = _size(plan.graph, name)
    channels = plan.graph.shapes[name][0]
    return f"{{{offset}, {strip.row_bytes}, {len(strip.spans)}, {height}, {width}, {channels}}}"


def _size(graph: Graph, name: str) -> tuple[int, int]:
    shape = graph.shapes[name]
    return (shape[1], shape[2]) if len(shape) == 3 else (1, 1)
