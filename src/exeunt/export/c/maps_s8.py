"""What the int8 kernels that pool, add and move are told about each node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from exeunt.export.c.kernel import Kernel, channel_fields, grid_fields, sharp_window, window_of
from exeunt.export.c.moves import moving
from exeunt.export.c.source import CSource
from exeunt.graph.graph import Graph, Node
from exeunt.graph.operators import GridPool
from exeunt.quantize.operators import (
    IntegerChannelPool,
    IntegerGridPool,
    IntegerLookup,
    IntegerPad,
    IntegerPool,
    IntegerProduct,
    IntegerResize,
    IntegerSharpPool,
    IntegerSlope,
    IntegerSum,
    View,
    places,
)

_ROWS, _COLUMNS = 1, 2  # axes of (C, H, W)


def _pool(node: Node, operator: IntegerPool, graph: Graph, source: CSource, number: int) -> Kernel:
    fields = {
        "window": window_of(operator),
        "average": int(operator.of == "average"),
        "count_padding": int(operator.count_padding),
        "zero": operator.zero,
    }
    return Kernel.of("exn_pool_s8", fields, source, number)


def _sharp_pool(
    node: Node, operator: IntegerSharpPool, graph: Graph, source: CSource, number: int
) -> Kernel:
    fields = {
        "window": sharp_window(operator.operator, node),
        "softness": f"{operator.softness}u",
        "zero": operator.zero,
    }
    return Kernel.of("exn_sharp_pool_s8", fields, source, number)


def _grid(
    node: Node, operator: IntegerGridPool, graph: Graph, source: CSource, number: int
) -> Kernel:
    assert isinstance(node.operator, GridPool)
    fields = grid_fields(node.operator, graph.shapes[node.inputs[0]][_ROWS])
    fields = {**fields, "zero": operator.zero}
    return Kernel.of("exn_grid_pool_s8", fields, source, number, accumulates=True)


def _channels(
    node: Node, operator: IntegerChannelPool, graph: Graph, source: CSource, number: int
) -> Kernel:
    fields = channel_fields(node, graph) | {"zero": operator.zero}
    return Kernel.of("exn_channel_pool_s8", fields, source, number)


def sum_fields(total: IntegerSum, *, swapped: bool = False) -> dict[str, int]:
    """Fields of `exn_sum_s8`, the inputs perhaps the other way round."""
    a, b = (total.by_a, total.zero_a), (total.by_b, total.zero_b)
    if swapped:
        a, b = b, a
    return {
        "by_a": a[0],
        "by_b": b[0],
        "shift": total.shift,
        "zero_a": a[1],
        "zero_b": b[1],
        "zero": total.scale.zero,
        "low": total.low,
        "high": total.high,
    }


def _sum(node: Node, operator: IntegerSum, graph: Graph, source: CSource, number: int) -> Kernel:
    return Kernel.of("exn_sum_s8", sum_fields(operator), source, number)


def _lookup(
    node: Node, operator: IntegerLookup, graph: Graph, source: CSource, number: int
) -> Kernel:
    table = source.array("int8_t", f"table_{number}", operator.table.tolist())
    return Kernel.of("exn_lookup_s8", {"table": table}, source, number)


def _product(
    node: Node, operator: IntegerProduct, graph: Graph, source: CSource, number: int
) -> Kernel:
    (multiplier,), (shift,) = operator.factor.multipliers, operator.factor.shifts
    fields = {
        "factor": {"multiplier": multiplier, "shift": shift},
        "zero_a": operator.zero_a,
        "zero_b": operator.zero_b,
        "zero": operator.scale.zero,
        "low": operator.low,
        "high": operator.high,
    }
    return Kernel.of("exn_product_s8", fields, source, number)


def _slope(
    node: Node, operator: IntegerSlope, graph: Graph, source: CSource, number: int
) -> Kernel:
    (multiplier,), (shift,) = operator.above.multipliers, operator.above.shifts
    pairs = zip(operator.below.multipliers, operator.below.shifts, strict=True)
    fields = {
        "above": {"multiplier": multiplier, "shift": shift},
        "below": source.array(
            "exn_factor", f"below_{number}", (f"{{{of}, {by}}}" for of, by in pairs)
        ),
        "zero_in": operator.zero_in,
        "zero_out": operator.scale.zero,
    }
    return Kernel.of("exn_slope_s8", fields, source, number)


def _resize(
    node: Node, operator: IntegerResize, graph: Graph, source: CSource, number: int
) -> Kernel:
    resize, taken = operator.operator, graph.shapes[node.inputs[0]]
    fields = {}
    for name, axis in (("down", _ROWS), ("across", _COLUMNS)):
        found = places(taken[axis], resize.size[axis - 1], resize.align_corners)
        triples = (f"{{{first}, {second}, {share}}}" for first, second, share in found)
        fields[name] = source.array("exn_between", f"{name}_{number}", triples)
    return Kernel.of("exn_resize_s8", fields, source, number)


def _move(
    node: Node, operator: IntegerPad | View, graph: Graph, source: CSource, number: int
) -> Kernel:
    """What is not read where it lies."""
    blank = operator.zero if isinstance(operator, IntegerPad) else 0
    channels = graph.shapes[node.inputs[0]][0]
    return moving(node, operator.operator, source, number, 1, channels, blank)


MAKERS: dict[type, Callable[[Node, Any, Graph, CSource, int], Kernel]] = {
    IntegerChannelPool: _channels,
    IntegerGridPool: _grid,
    IntegerLookup: _lookup,
    IntegerPad: _move,
    IntegerPool: _pool,
    IntegerProduct: _product,
    IntegerResize: _resize,
    IntegerSharpPool: _sharp_pool,
    IntegerSlope: _slope,
    IntegerSum: _sum,
    View: _move,
}
