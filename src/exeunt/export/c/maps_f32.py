"""What the float kernels that move and pool numbers are told about each node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from exeunt.errors import ExeuntError
from exeunt.export.c.kernel import Kernel, channel_fields, grid_fields, sharp_window, window_of
from exeunt.export.c.moves import MOVES, moving
from exeunt.export.c.source import CSource, float_texts
from exeunt.graph.graph import Graph, Node
from exeunt.graph.operators import (
    ChannelPool,
    GlobalAverage,
    GridPool,
    Operator,
    Pool,
    Resize,
    SharpPool,
)

MAX_POOL = 255


def _average(
    node: Node, average: GlobalAverage, graph: Graph, source: CSource, number: int
) -> Kernel:
    return Kernel("exn_average_f32", True, "NULL")


def _pool(node: Node, pool: Pool, graph: Graph, source: CSource, number: int) -> Kernel:
    if max(*pool.kernel, *pool.stride) > MAX_POOL:
        raise ExeuntError(
            f"{node.module}: no kernel for pooling {pool.kernel} with stride {pool.stride}; up to "
            f"{MAX_POOL}"
        )
    fields = {
        "window": window_of(pool),
        "average": int(pool.of == "average"),
        "count_padding": int(pool.count_padding),
    }
    return Kernel.of("exn_pool_f32", fields, source, number)


def _sharp_pool(node: Node, pool: SharpPool, graph: Graph, source: CSource, number: int) -> Kernel:
    return Kernel.of("exn_sharp_pool_f32", {"window": sharp_window(pool, node)}, source, number)


def _grid_pool(node: Node, pool: GridPool, graph: Graph, source: CSource, number: int) -> Kernel:
    fields = grid_fields(pool, graph.shapes[node.inputs[0]][1])
    return Kernel.of("exn_grid_pool_f32", fields, source, number, accumulates=True)


def _channels(node: Node, pool: ChannelPool, graph: Graph, source: CSource, number: int) -> Kernel:
    return Kernel.of("exn_channel_pool_f32", channel_fields(node, graph), source, number)


def _resize(node: Node, resize: Resize, graph: Graph, source: CSource, number: int) -> Kernel:
    _, *sizes = graph.shapes[node.inputs[0]]
    fields = {
        name: source.array("exn_between_f32", f"{name}_{number}", _places(resize, size, out))
        for name, size, out in zip(("down", "across"), sizes, resize.size, strict=True)
    }
    return Kernel.of("exn_resize_f32", fields, source, number)


def _places(resize: Resize, size: int, out: int) -> list[str]:
    """For each output line the two among `size` that it lies between, and the second's share.

    A second line that has no share may not be there any more, so the first stands for it.
    """
    axis = replace(resize, size=(out, out))
    found = []
    for line in range(out):
        at = axis.position(size, line)
        first = int(at)
        second = min(first + 1, size - 1) if at > first else first
        (share,) = float_texts([at - first])
        found.append(f"{{{first}, {second}, {share}}}")
    return found


def _move(node: Node, operator: Operator, graph: Graph, source: CSource, number: int) -> Kernel:
    """What is not read where it lies."""
    return moving(node, operator, source, number, 4, graph.shapes[node.inputs[0]][0])


MAKERS: dict[type, Callable[[Node, Any, Graph, CSource, int], Kernel]] = {
    ChannelPool: _channels,
    GlobalAverage: _average,
    GridPool: _grid_pool,
    Pool: _pool,
    SharpPool: _sharp_pool,
    Resize: _resize,
    **dict.fromkeys(MOVES, _move),
}
"""How each of these operators is called."""
