"""ReX in standard ONNX operators, its sweeps shared as in `exeunt.ops.rex`.

Equivalent forms were measured: the layer 32 to 64, 6x6, stride 4, on 112x112, onnxruntime 1.31.1,
one thread, batch 1, minimum of 200 runs in turn (`python benchmarks/rex_onnx.py`), milliseconds:

    steps over strided slices, channels last (this one)   5.4
    the same, what was projected added by the products    5.5
    the same, the three gates from one product            5.6
    the same, channels first, as 1x1 convolutions         8.0
    the GRU operator over shared sweeps                  11.3
    the GRU operator, patch by patch                     14.7
    torch, eager                                          9.6
"""

from __future__ import annotations

from exeunt.export.onnx.builder import Builder
from exeunt.export.onnx.cells import STEPS, Projected, Weights, over_map, parts, project
from exeunt.graph.operators import Shape
from exeunt.ops.rex import ReX2d, Window

_ROWS, _COLUMNS = 1, 2  # axes of (N, H, W, C), which maps have in here


def write_rex(build: Builder, layer: ReX2d, x: str, shape: Shape, to: str) -> None:
    """Adds a ReX layer over a map of `shape` (C, H, W), its output being called `to`."""
    rows, columns = layer.windows(*shape[1:])
    row_ends, column_ends = _line_ends(build, layer, x, shape, rows, columns)
    branches = []
    if layer.use_rows:
        branches.append(_both_ways(build, layer, row_ends, _ROWS, rows, (rows.lines, columns.out)))
    if layer.use_global:
        summaries = [
            _read(build, ends, axis, window, t)
            for ends, axis, window in ((row_ends, _ROWS, rows), (column_ends, _COLUMNS, columns))
            for t in range(window.size)
        ]
        both = build.add("Concat", *summaries, axis=-1)
        patches = rows.out, columns.out
        branches.append(over_map(build, both, layer.linear.weight, layer.linear.bias, patches))
    if layer.use_cols:
        branches.append(
            _both_ways(build, layer, column_ends, _COLUMNS, columns, (rows.out, columns.lines))
        )
    out = build.add("Concat", *branches, axis=-1)
    if rows.repeat or columns.repeat:
        pads = build.integers([0, 0, rows.repeat, columns.repeat])
        axes = build.integers([_ROWS, _COLUMNS])
        out = build.add("Pad", out, pads, "", axes, mode="edge")
    build.add("Transpose", out, perm=[0, 3, 1, 2], to=to)


def _line_ends(
    build: Builder, layer: ReX2d, x: str, shape: Shape, rows: Window, columns: Window
) -> tuple[str, str]:
    """Summaries of all rows, (N, H, W', hidden1), and of all columns, (N, H', W, hidden1).

    Where one alone is needed, it stands for both.
    """
    x = build.add("Transpose", x, perm=[0, 2, 3, 1])
    for axis, window in ((_ROWS, rows), (_COLUMNS, columns)):
        if not isinstance(window.kept, range):
            x = build.add("Gather", x, build.integers(window.kept), axis=axis)
        elif len(window.kept) < shape[axis]:
            x = build.slice(x, axis, 0, len(window.kept))
    weights = Weights.of(layer.rnn1, layer.cell, directions=1)
    pads = [rows.lead, columns.lead, rows.trail, columns.trail]
    if any(pads):
        axes = build.integers([_ROWS, _COLUMNS])
        x = build.add("Pad", x, build.integers(pads), "", axes)
    sizes = rows.lines, columns.lines
    projected = project(build, x, weights, layer.cell, sizes)
    ends = []
    if layer.use_rows or layer.use_global:
        ends.append(_sweep(build, layer, weights, projected, _COLUMNS, columns, sizes))
    if layer.use_cols or layer.use_global:
        ends.append(_sweep(build, layer, weights, projected, _ROWS, rows, sizes))
    return ends[0], ends[-1]


def _both_ways(
    build: Builder, layer: ReX2d, ends: str, axis: int, window: Window, sizes: tuple[int, int]
) -> str:
    """The second RNN over each patch's summaries, (N, H', W', 2*hidden2).

    Backwards is forwards over the map turned round, whose patches come in reverse order.
    """
    weights = Weights.of(layer.rnn2, layer.cell, directions=2)
    turned = build.slice(ends, axis, -1, 0, -1)
    both = build.add("Concat", ends, turned, axis=-1)
    projected = project(build, both, weights, layer.cell, sizes)
    last = _sweep(build, layer, weights, projected, axis, window, sizes)
    halves = build.integers([layer.hidden2] * 2)
    forward, backward = build.split("Split", last, halves, count=2, axis=-1)
    return build.add("Concat", forward, build.slice(backward, axis, -1, 0, -1), axis=-1)


def _sweep(
    build: Builder,
    layer: ReX2d,
    weights: Weights,
    projected: Projected,
    axis: int,
    window: Window,
    sizes: tuple[int, int],
) -> str:
    """The last state of a recurrence along `axis`, from the start of every patch.

    `sizes` are the rows and columns of what was projected. Products take rows of pixels; steps
    without any take maps as they are.
    """
    state: tuple[str, ...] = ()
    widths = parts(weights, layer.cell)
    for t in range(window.size):
        first = layer.cell == "mingru" and t == 0  # there is nothing to keep
        read = [
            "" if first and k == 0 else _read(build, maps, axis, window, t)
            for k, maps in enumerate(projected)
        ]
        if len(weights.recur):
            read = [
                build.add("Reshape", line, build.integers([-1, width]))
                for line, width in zip(read, widths, strict=True)
            ]
        state = STEPS[layer.cell](build, tuple(read), state, weights)
    if not len(weights.recur):
        return state[0]
    after = [window.out if n == axis else size for n, size in enumerate(sizes, start=1)]
    return build.add("Reshape", state[0], build.integers([-1, *after, weights.size]))


def _read(build: Builder, maps: str, axis: int, window: Window, t: int) -> str:
    """The t-th line of every patch along `axis`."""
    index = window.read(axis, t)[-1]
    return build.slice(maps, axis, index.start, index.stop, index.step)
