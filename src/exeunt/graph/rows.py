"""Which rows of its inputs an operator needs for one row of its output.

A map (C, H, W) has H rows; a vector is a map of one row. An operator that answers here can run row
by row; the others need all of their input first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from exeunt.graph.fuse import InvertedResidual, PreactivatedConv
from exeunt.graph.normed import NormedReX
from exeunt.graph.operators import (
    Activation,
    Add,
    Affine,
    Composite,
    Concat,
    Conv,
    GlobalAverage,
    GridPool,
    Mix,
    Operator,
    Pad,
    Pool,
    Resize,
    Shape,
    Slice,
)
from exeunt.ops.rex import ReX2d

_ROWS = 1  # the axis of (C, H, W)


def row_count(shape: Shape) -> int:
    """Rows of a tensor of this shape."""
    return shape[_ROWS] if len(shape) == 3 else 1


def rows_needed(operator: Operator, taken: Shape, given: Shape, row: int) -> range:
    """The rows of one input, of shape `taken`, that row `row` of the output `given` depends on.

    Rows of padding are left out, so the range may be empty.
    """
    height = row_count(taken)
    rule = _RULES.get(type(operator))
    if rule is None or len(taken) != 3 or len(given) != 3:
        return range(height)
    wanted = rule(operator, height, row_count(given), row)
    inside = range(max(wanted.start, 0), min(wanted.stop, height))
    return inside or range(0)


def accumulates(operator: Operator) -> bool:
    """Whether it takes in each row of its input once, as it comes, and keeps what it needs."""
    rex = isinstance(operator, Composite) and isinstance(operator.module, ReX2d)
    return rex or isinstance(operator, (GlobalAverage, GridPool))


def resize_position(operator: Resize, height: int, row: int) -> float:
    """Where among `height` rows a row of the resized map lies, perhaps between two of them."""
    out = operator.size[0]
    if operator.align_corners:
        return row * (height - 1) / (out - 1) if out > 1 else 0.0
    return max((row + 0.5) * height / out - 0.5, 0.0)


def _same(operator: Any, height: int, out: int, row: int) -> range:
    return range(row, row + 1)


def _window(row: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> range:
    start = row * stride - padding
    return range(start, start + (kernel - 1) * dilation + 1)


def _conv(operator: Conv, height: int, out: int, row: int) -> range:
    return _window(
        row, operator.kernel[0], operator.stride[0], operator.padding[0], operator.dilation[0]
    )


def _preactivated(operator: PreactivatedConv, height: int, out: int, row: int) -> range:
    return _conv(operator.conv, height, out, row)


def _pool(operator: Pool, height: int, out: int, row: int) -> range:
    return _window(row, operator.kernel[0], operator.stride[0], operator.padding[0])


def _grid(operator: GridPool, height: int, out: int, row: int) -> range:
    return range(row * height // out, -(-(row + 1) * height // out))


def _slice(operator: Slice, height: int, out: int, row: int) -> range:
    if operator.axis != _ROWS:
        return range(row, row + 1)
    start = operator.start + row * operator.step
    return range(start, start + 1)


def _pad(operator: Pad, height: int, out: int, row: int) -> range:
    return range(row - operator.before[_ROWS], row - operator.before[_ROWS] + 1)


def _resize(operator: Resize, height: int, out: int, row: int) -> range:
    at = resize_position(operator, height, row)
    return range(int(at), int(at) + (2 if at > int(at) else 1))


def _composite(operator: Composite, height: int, out: int, row: int) -> range:
    module = operator.module
    if not isinstance(module, ReX2d):
        return range(height)
    window = module.window(0, height)
    last = min(row, window.out - 1)  # the rows behind it repeat it
    return _window(last, window.size, window.stride, window.before)


def _residual(operator: InvertedResidual, height: int, out: int, row: int) -> range:
    """The rows that are expanded now, those before being kept expanded unless all are expanded
    again, and the one to be added.
    """
    reads = [_conv(operator.depthwise, height, out, at) for at in (row - 1, row)]
    if operator.expand is None or operator.recompute:
        return reads[1]
    first = min(reads[0].stop, height) if row else 0
    return range(min(first, row) if operator.residual else first, max(reads[1].stop, first))


_RULES: dict[type[Operator], Callable[[Any, int, int, int], range]] = {
    Activation: _same,
    Add: _same,
    Affine: _same,
    Concat: _same,
    Mix: _same,
    Conv: _conv,
    PreactivatedConv: _preactivated,
    Pool: _pool,
    GridPool: _grid,
    Slice: _slice,
    Pad: _pad,
    Resize: _resize,
    Composite: _composite,
    NormedReX: _composite,
    InvertedResidual: _residual,
}
