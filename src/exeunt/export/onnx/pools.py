"""Pooling in ONNX operators.

Where the last windows reach over the map is worked out here, from the sizes: runtimes do not agree
on what `ceil_mode` counts.
"""

from __future__ import annotations

import numpy as np

from exeunt.export.onnx.builder import Builder
from exeunt.graph.operators import GridPool, Pair, Pool, Shape, SharpPool

_AXES = (2, 3)  # rows and columns of (N, C, H, W)


def write_pool(
    build: Builder, pool: Pool, x: str, shape: Shape, out: Shape, to: str | None = None
) -> str:
    """Adds the maximum or average of windows; `shape` and `out` are the maps' (C, H, W)."""
    ends = over_the_edge(shape, out, pool.kernel, pool.stride, pool.padding)
    begins = pool.padding
    attributes = {"kernel_shape": list(pool.kernel), "strides": list(pool.stride)}
    if pool.of == "max":
        return build.add("MaxPool", x, to=to, pads=[*begins, *ends], **attributes)
    counted = pool.count_padding and any(begins)
    if counted and any(e > p for e, p in zip(ends, begins, strict=True)):
        # Padding counts, what lies beyond it does not.
        x = build.add("Pad", x, build.integers([*begins, *begins]), "", build.integers(_AXES))
        ends = tuple(max(e - p, 0) for e, p in zip(ends, begins, strict=True))
        begins, counted = (0, 0), False
    return build.add(
        "AveragePool",
        x,
        to=to,
        pads=[*begins, *ends],
        count_include_pad=int(counted),
        **attributes,
    )


def over_the_edge(
    shape: Shape, out: Shape, kernel: Pair, stride: Pair, padding: Pair
) -> tuple[int, ...]:
    """Lines after the map that the last window takes in, by axis."""
    return tuple(
        max((count - 1) * step + size - length - before, 0)
        for length, count, size, step, before in zip(
            shape[1:], out[1:], kernel, stride, padding, strict=True
        )
    )


def write_grid_pool(build: Builder, pool: GridPool, x: str, shape: Shape, to: str) -> None:
    """Adds adaptive pooling: windows where the grid divides the map, or else one axis at a time.

    Cells are rectangles, so their averages are averages of averages.
    """
    sizes = list(zip(shape[1:], pool.grid, strict=True))
    if all(length % cells == 0 for length, cells in sizes):
        kernel = [length // cells for length, cells in sizes]
        kind = "MaxPool" if pool.of == "max" else "AveragePool"
        build.add(kind, x, to=to, kernel_shape=kernel, strides=kernel)
        return
    reduce = "ReduceMax" if pool.of == "max" else "ReduceMean"
    for axis, (length, cells) in zip(_AXES, sizes, strict=True):
        parts = []
        for cell in range(cells):
            start, stop = cell * length // cells, -(-(cell + 1) * length // cells)
            part = build.slice(x, axis, start, stop)
            parts.append(build.add(reduce, part, build.integers([axis]), keepdims=1))
        x = build.add("Concat", *parts, axis=axis, to=to if axis == _AXES[-1] else None)


def write_sharp_pool(
    build: Builder, pool: SharpPool, x: str, sharpness: str, shape: Shape, out: Shape, to: str
) -> None:
    """Windows stacked along a new axis, what lies outside the map weighing nothing."""
    size, stride = (pool.size,) * 2, (pool.stride,) * 2
    down, across = over_the_edge(shape, out, size, stride, (0, 0))
    pads, axes = build.integers([0, 0, down, across]), build.integers(_AXES)
    stacked = _stack(build, pool, build.add("Pad", x, pads, "", axes), out)
    largest = write_pool(build, Pool("max", size, stride, ceil=True), x, shape, out)
    # at most 0 inside the map
    less = build.add("Min", build.add("Sub", stacked, largest), build.floats(0.0))
    weights = build.add("Exp", build.add("Mul", less, sharpness))
    if down or across:
        inside = np.zeros((shape[1] + down, shape[2] + across), np.float32)
        inside[: shape[1], : shape[2]] = 1
        mask = _stack(build, pool, build.floats(inside[None, None]), out)
        weights = build.add("Mul", weights, mask)
    axis = build.integers([0])
    top = build.add("ReduceSum", build.add("Mul", weights, stacked), axis, keepdims=0)
    build.add("Div", top, build.add("ReduceSum", weights, axis, keepdims=0), to=to)


def _stack(build: Builder, pool: SharpPool, maps: str, out: Shape) -> str:
    """The pixels of every window, along a new first axis."""
    parts = []
    for i in range(pool.size):
        rows = build.slice(maps, 2, i, i + (out[1] - 1) * pool.stride + 1, pool.stride)
        for j in range(pool.size):
            part = build.slice(rows, 3, j, j + (out[2] - 1) * pool.stride + 1, pool.stride)
            parts.append(build.add("Unsqueeze", part, build.integers([0])))
    return build.add("Concat", *parts, axis=0)
