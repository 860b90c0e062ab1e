"""What nobody needs of an arena while a row is made."""

from __future__ import annotations

from collections.abc import Sequence

from exeunt.export.c.source import CSource, repeating
from exeunt.graph.fuse import InvertedResidual
from exeunt.graph.graph import Node
from exeunt.graph.rows import row_count
from exeunt.graph.streamed import StreamedPlan
from exeunt.quantize.operators import IntegerConv

GATHERED = 160  # numbers of a window that are copied together before they are multiplied
NO_ROOM = "EXN_NO_ROOM"
_WORD = 4


def residual_room(
    node: Node, fused: InvertedResidual, plan: StreamedPlan, source: CSource, number: int
) -> dict[str, str | int]:
    """Fields of `exn_room` for an inverted residual: the most columns that as many of its rows as
    possible have room for, beside two pixels of everything. Nothing is planned for that, so no
    arena grows.
    """
    (channels, _, width), (outputs, _, _) = (
        plan.graph.shapes[name] for name in (node.inputs[0], node.output)
    )
    hidden, (size, _) = fused.depthwise.groups, fused.depthwise.kernel
    stride = fused.depthwise.stride[0]
    besides = 6 * _whole(max(channels, hidden)) + (2 * _whole(outputs) if fused.residual else 0)
    column, least = hidden * min(size, stride), size + stride + 1
    spans = [0] if fused.expand is None else [width, *range(width - 1, least - 1, -1)]
    sizes = {besides + span * column: span for span in spans}
    found = None if fused.recompute else _rooms(node, plan, list(sizes), source, number)
    if found is None:
        return {"rooms": "NULL", "slots": 1, "span": 0}
    wanted, fields = found
    return {**fields, "span": sizes[wanted]}


def window_room(
    node: Node, conv: IntegerConv, plan: StreamedPlan, source: CSource, number: int
) -> str:
    """A pointer to the `exn_room` of a convolution, that of two windows in 16 bits; or NULL."""
    channels = conv.weight.shape[1]
    if channels % _WORD or (conv.weight[0].numel() > GATHERED and channels % (2 * _WORD)):
        return "NULL"
    found = _rooms(node, plan, [4 * conv.weight[0].numel()], source, number)
    if found is None:
        return "NULL"
    _, fields = found
    return f"&{source.struct('exn_room', f'room_{number}', {**fields, 'span': 0})}"


def _rooms(
    node: Node, plan: StreamedPlan, sizes: Sequence[int], source: CSource, number: int
) -> tuple[int, dict[str, str | int]] | None:
    """Of some sizes, largest first, the one that most rows have room for, and where."""
    free = _free(node, plan)
    if not free:
        return None
    wanted = max(sizes, key=lambda wanted: sum(size >= wanted for _, size in free))
    spelt = repeating([f"{at}u" if size >= wanted else NO_ROOM for at, size in free])
    if all(at == NO_ROOM for at in spelt):
        return None
    rooms = source.array("uint32_t", f"rooms_{number}", spelt)
    return wanted, {"rooms": rooms, "slots": len(spelt)}


def _free(node: Node, plan: StreamedPlan) -> list[tuple[int, int]]:
    """Beginning and size of the largest free part of the arena, while each row is made; () if some
    are made more than once.
    """
    acts, events = plan.schedule.acts[node.output], plan.schedule.events
    if [events[at].row for at in acts] != [*range(row_count(plan.graph.shapes[node.output]))]:
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
