"""What nobody needs of an arena while a row is made."""

from __future__ import annotations

from collections.abc import Sequence

from exeunt.export.c.source import CSource
from exeunt.graph.fuse import InvertedResidual
from exeunt.graph.graph import Node
from exeunt.graph.streamed import StreamedPlan

NO_ROOM = "EXN_NO_ROOM"
MOST_WITHOUT = 0.25  # of a map's rows may lack the room that the others use
_WORD = 4


def residual_room(
    node: Node, fused: InvertedResidual, plan: StreamedPlan, source: CSource, number: int
) -> dict[str, str | int]:
    """Fields of `exn_room` for an inverted residual: as many columns as most of its rows have room
    for, beside two pixels of everything; or none. Nothing is planned for that, so no arena grows.
    """
    free = _free(node, plan)
    (channels, _, width), (outputs, height, _) = (
        plan.graph.shapes[name] for name in (node.inputs[0], node.output)
    )
    hidden, (size, _) = fused.depthwise.groups, fused.depthwise.kernel
    stride = fused.depthwise.stride[0]
    most = _whole(max(channels, hidden))
    besides = 6 * most + (2 * _whole(outputs) if fused.residual else 0)
    column, least = hidden * min(size, stride), size + stride + 1
    spans = [0] if fused.expand is None else [width, *range(width - 1, least - 1, -1)]
    for span in spans:
        wanted = besides + span * column
        places = [at if size >= wanted else None for at, size in free]
        if len(free) == height and places.count(None) <= MOST_WITHOUT * height:
            spelt = [NO_ROOM if at is None else f"{at}u" for at in places]
            rooms = source.array("uint32_t", f"rooms_{number}", spelt)
            return {"rooms": rooms, "slots": height, "span": span}
    return {"rooms": "NULL", "slots": 1, "span": 0}


def _free(node: Node, plan: StreamedPlan) -> list[tuple[int, int]]:
    """Beginning and size of the largest free part of the arena, while each row is made; () if rows
    are made more than once.
    """
    acts, events = plan.schedule.acts[node.output], plan.schedule.events
    if [events[at].row for at in acts] != [*range(len(acts))]:
        return []
    return [_largest_gap(plan, at) for at in acts]


def _largest_gap(plan: StreamedPlan, event: int) -> tuple[int, int]:
    taken = sorted(
        (offset, offset + buffer.row_bytes)
        for buffer, offsets in zip(plan.row_buffers, plan.offsets_bytes, strict=True)
        for offset, spans in zip(offsets, buffer.spans, strict=True)
        if any(first <= event <= last for first, last in spans)
    )
    return largest_gap(taken, plan.arena_bytes)


def largest_gap(taken: Sequence[tuple[int, int]], end: int) -> tuple[int, int]:
    """Where the largest free part begins, at a whole word, and how long it is.

    Args:
        taken: beginnings and ends, in order of beginnings.
        end: of all.
    """
    at, found = 0, (0, 0)
    for low, high in (*taken, (end, end)):
        found = max(found, (at, low - at), key=lambda gap: gap[1])
        at = max(at, _whole(high))
    return found


def _whole(size: int) -> int:
    return -(-size // _WORD) * _WORD
