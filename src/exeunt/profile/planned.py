"""Memory by plan: every map whole, or rows that stream. These are what code that runs will take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from exeunt.graph import Graph, StreamedPlan, buffers_of, make_plan, plan_stream
from exeunt.graph.buffers import Buffer
from exeunt.profile.memory import Memory, Span, bytes_of, reached_bytes


def layerwise_memory(graph: Graph, dtype: str) -> Memory:
    """Every map materialised, and dropped after the last operator that reads it.

    A step is an operator. The array holds the image too; `without_image_bytes` is for one that is
    read from elsewhere.

    Args:
        graph: of a whole net.
        dtype: of all tensors.
    """
    scale = bytes_of(dtype)
    plan = make_plan(buffers_of(graph, 1))  # all sizes are in elements, so one plan is for all
    bare = make_plan(buffers_of(graph, 1, image=False))
    nodes = list(graph.nodes)
    written = {node.output: step for step, node in enumerate(nodes)} | {graph.image: 0}
    spans = [
        Span(name, first, last, offset * scale, buffer.size_bytes * scale)
        for buffer, offset in zip(plan.buffers, plan.offsets_bytes, strict=True)
        for name, first, last in _tenants(buffer, [written[name] for name in buffer.names])
    ]
    exit_steps = [end - 1 for end in accumulate(len(stage.nodes) for stage in graph.stages)]
    return Memory(
        "layerwise",
        dtype,
        plan.arena_bytes * scale,
        reached_bytes(spans, exit_steps),
        tuple(node.module for node in nodes),
        tuple(exit_steps),
        tuple(spans),
        arena_bytes=plan.arena_bytes * scale,
        bound_bytes=plan.bound_bytes * scale,
        without_image_bytes=min(bare.arena_bytes, plan.arena_bytes) * scale,
    )


def _tenants(buffer: Buffer, written: Sequence[int]) -> Iterator[tuple[str, int, int]]:
    """The tensors that live in a buffer one after the other, with their first and last steps."""
    for i, name in enumerate(buffer.names):
        last = written[i + 1] - 1 if i + 1 < len(written) else buffer.last
        if last >= written[i]:
            yield name, written[i], last


def streamed_memory(graph: Graph, dtype: str) -> Memory:
    """Rows that stream, as `plan_stream` lays them out.

    A step is a row that is made or taken in. `total_bytes` is the plan's arena, the rows of the
    image included, which are `row_window_bytes` of it.

    Args:
        graph: of a whole net.
        dtype: of all tensors; sums take 4 bytes and recurrent states at least 2.
    """
    plan = plan_stream(graph, bytes_of(dtype))
    spans = list(spans_of(plan))
    events = plan.schedule.events
    exit_steps = plan.schedule.ends
    return Memory(
        "streamed",
        dtype,
        plan.arena_bytes,
        reached_bytes(spans, exit_steps),
        tuple(plan.graph.image if e.node is None else e.node.module for e in events),
        exit_steps,
        tuple(spans),
        arena_bytes=plan.arena_bytes,
        row_window_bytes=plan.window_bytes,
        bound_bytes=plan.bound_bytes,
        least_bytes=plan.least_bytes,
    )


def spans_of(plan: StreamedPlan) -> Iterator[Span]:
    """The places of all row buffers, and from which row of the order to which they are taken."""
    for buffer, offsets in zip(plan.row_buffers, plan.offsets_bytes, strict=True):
        for spans, offset in zip(buffer.spans, offsets, strict=True):
            for first, last in spans:
                yield Span(buffer.name, first, last, offset, buffer.row_bytes)
