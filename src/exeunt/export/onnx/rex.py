"""ReX in standard ONNX operators, its sweeps shared as in `exeunt.ops.rex`."""

from __future__ import annotations

from exeunt.export.onnx.builder import Builder
from exeunt.export.onnx.cells import STEPS, Weights, conv1x1
from exeunt.graph.operators import Shape
from exeunt.ops.rex import ReX2d, Window

_ROWS, _COLUMNS = 2, 3  # axes of (N, C, H, W)


def write_rex(build: Builder, layer: ReX2d, x: str, shape: Shape, to: str) -> None:
    """Adds a ReX layer over a map of `shape` (C, H, W), its output being called `to`."""
    rows, columns = layer.windows(*shape[1:])
    row_ends, column_ends = _line_ends(build, layer, x, shape, rows, columns)
    parts = []
    if layer.use_rows:
        parts.append(_both_ways(build, layer, row_ends, _ROWS, rows))
    if layer.use_global:
        summaries = [
            _read(build, ends, axis, window, t)
            for ends, axis, window in ((row_ends, _ROWS, rows), (column_ends, _COLUMNS, columns))
            for t in range(window.size)
        ]
        both = build.add("Concat", *summaries, axis=1)
        parts.append(conv1x1(build, both, layer.linear.weight, layer.linear.bias))
    if layer.use_cols:
        parts.append(_both_ways(build, layer, column_ends, _COLUMNS, columns))
    if rows.repeat or columns.repeat:
        out = build.add("Concat", *parts, axis=1)
        pads = build.integers([0, 0, rows.repeat, columns.repeat])
        axes = build.integers([_ROWS, _COLUMNS])
        build.add("Pad", out, pads, "", axes, mode="edge", to=to)
    else:
        build.add("Concat", *parts, axis=1, to=to)


def _line_ends(
    build: Builder, layer: ReX2d, x: str, shape: Shape, rows: Window, columns: Window
) -> tuple[str, str]:
    """Summaries of all rows, (N, hidden1, H, W'), and of all columns, (N, hidden1, H', W).

    Where one alone is needed, it stands for both.
    """
    for axis, window in ((_ROWS, rows), (_COLUMNS, columns)):
        if not isinstance(window.kept, range):
            x = build.add("Gather", x, build.integers(window.kept), axis=axis)
        elif len(window.kept) < shape[axis - 1]:
            x = build.slice(x, axis, 0, len(window.kept))
    weights = Weights.of(layer.rnn1, layer.cell, directions=1)
    pads = [rows.lead, columns.lead, rows.trail, columns.trail]
    projected = conv1x1(build, x, weights.project, weights.project_bias, pads=pads)
    ends = []
    if layer.use_rows or layer.use_global:
        ends.append(_sweep(build, layer, weights, projected, _COLUMNS, columns))
    if layer.use_cols or layer.use_global:
        ends.append(_sweep(build, layer, weights, projected, _ROWS, rows))
    return ends[0], ends[-1]


def _both_ways(build: Builder, layer: ReX2d, ends: str, axis: int, window: Window) -> str:
    """The second RNN over each patch's summaries, (N, 2*hidden2, H', W').

    Backwards is forwards over the map turned round, whose patches come in reverse order.
    """
    weights = Weights.of(layer.rnn2, layer.cell, directions=2)
    turned = build.slice(ends, axis, -1, 0, -1)
    both = build.add("Concat", ends, turned, axis=1)
    projected = conv1x1(build, both, weights.project, weights.project_bias)
    last = _sweep(build, layer, weights, projected, axis, window)
    sizes = build.integers([layer.hidden2] * 2)
    forward, backward = build.split("Split", last, sizes, count=2, axis=1)
    return build.add("Concat", forward, build.slice(backward, axis, -1, 0, -1), axis=1)


def _sweep(
    build: Builder, layer: ReX2d, weights: Weights, projected: str, axis: int, window: Window
) -> str:
    """The last state of a recurrence along `axis`, from the start of every patch."""
    state: tuple[str, ...] = ()
    for t in range(window.size):
        state = STEPS[layer.cell](build, _read(build, projected, axis, window, t), state, weights)
    return state[0]


def _read(build: Builder, maps: str, axis: int, window: Window, t: int) -> str:
    """The t-th line of every patch along `axis`."""
    index = window.read(axis - 1, t)[-1]
    return build.slice(maps, axis, index.start, index.stop, index.step)
