"""ReX in onnxruntime: forms that give the same numbers, and what each of them takes.

    python benchmarks/rex_onnx.py [--repeats 200] [--size 112]

The layer is the early one of ReX-MobileNetV2: 32 to 64 channels, patches of 6x6, stride 4, batch 1,
one thread. All forms share the sweeps; they differ in how a sweep is written:

* steps: as exported. Inputs are projected once, by matrices over (N, H, W, C); a step is a strided
  slice of those maps, two products with the state, and the gates. The two directions of the second
  RNN are one cell of block diagonal matrices.
* steps, sums in products: the same, what was projected being added by `Gemm`.
* steps, one product: the same, all three gates from one product with the state.
* steps, channels first: on (N, C, H, W), the products being 1x1 convolutions, directions apart.
* GRU over shared sweeps: the standard operator, over sequences that are gathered from the input;
  nothing of the input projection is shared.
* GRU, patch by patch: the standard operator over every row and every column of every patch.

Beside them stand torch's operators and exeunt's kernels in C, the two ways of `ReX2d`. All take
turns, so that a busy machine slows all of them, and the minimum counts.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from exeunt.export.onnx import cells
from exeunt.export.onnx.builder import Builder
from exeunt.export.onnx.cells import Weights
from exeunt.export.onnx.rex import write_rex
from exeunt.native import in_use, native, using
from exeunt.ops.rex import ReX2d, Window


def one_product(
    build: Builder, projected: tuple[str, ...], state: tuple[str, ...], weights: Weights
) -> tuple[str, ...]:
    """`gru_step` with one product for the three gates."""
    if not state:
        return cells.gru_step(build, projected, state, weights)
    h = weights.size
    bias = torch.cat([weights.bias.new_zeros(2 * h), weights.bias[0]])
    product = cells.matrix(build, state[0], weights.recur, bias)
    sizes = build.integers([2 * h, h])
    gates, recurrent = build.split("Split", product, sizes, count=2, axis=-1)
    gates = build.add("Add", gates, projected[0])
    return stepped(build, gates, recurrent, projected[1], state[0], h)


def sums_in_products(
    build: Builder, projected: tuple[str, ...], state: tuple[str, ...], weights: Weights
) -> tuple[str, ...]:
    """`gru_step` that has the product add what was projected."""
    if not state:
        return cells.gru_step(build, projected, state, weights)
    h = weights.size
    into_gates = build.floats(weights.recur[: 2 * h].T)
    gates = build.add("Gemm", state[0], into_gates, projected[0])
    recurrent = cells.matrix(build, state[0], weights.recur[2 * h :], weights.bias[0])
    return stepped(build, gates, recurrent, projected[1], state[0], h)


def stepped(
    build: Builder, gates: str, recurrent: str, into_new: str, state: str, h: int
) -> tuple[str, ...]:
    """The next state, as `gru_step` finds it."""
    sizes = build.integers([h, h])
    reset, update = build.split("Split", build.add("Sigmoid", gates), sizes, count=2, axis=-1)
    new = build.add("Tanh", build.add("Add", build.add("Mul", reset, recurrent), into_new))
    return (build.add("Add", new, build.add("Mul", update, build.add("Sub", state, new))),)


class LastForms:
    """Sweeps over a padded map (1, H, W, C), channels last; `last` says how a sequence is run."""

    def __init__(self, build: Builder, layer: ReX2d, size: int) -> None:
        self.build, self.layer = build, layer
        self.rows, self.columns = layer.windows(size, size)

    def padded(self, x: str) -> str:
        """(1, C, H, W) to (1, H, W, C) with the layer's zeros."""
        build, rows, columns = self.build, self.rows, self.columns
        pads = build.integers([rows.lead, columns.lead, rows.trail, columns.trail])
        x = build.add("Pad", x, pads, "", build.integers([2, 3]))
        return build.add("Transpose", x, perm=[0, 2, 3, 1])

    def reads(self, x: str, axis: int, window: Window) -> list[str]:
        """What the steps of a sweep along `axis` (1 rows, 2 columns) read."""
        found = []
        for t in range(window.size):
            stop = t + (window.out - 1) * window.hop + 1
            found.append(self.build.slice(x, axis, t, stop, window.hop))
        return found

    def merge(self, row_ends: str, column_ends: str, two_ways: Callable[..., str]) -> None:
        """The second RNN and the linear map over the summaries, as `write_rex` has them."""
        build, layer = self.build, self.layer
        by_row = self.reads(row_ends, 1, self.rows)
        by_column = self.reads(column_ends, 2, self.columns)
        both = build.add("Concat", *by_row, *by_column, axis=3)
        product = build.add("MatMul", both, build.floats(layer.linear.weight.T))
        linear = build.add("Add", product, build.floats(layer.linear.bias))
        parts = [two_ways(by_row), linear, two_ways(by_column)]
        out = build.add("Concat", *parts, axis=3)
        build.add("Transpose", out, perm=[0, 3, 1, 2], to="y")


def channels_first(build: Builder, layer: ReX2d, size: int) -> None:
    """Steps by 1x1 convolutions of strided slices."""
    rows, columns = layer.windows(size, size)

    def conv(x: str, weight: Tensor, bias: Tensor | None = None, **more: Any) -> str:
        constants = [build.floats(weight[:, :, None, None])]
        constants += [] if bias is None else [build.floats(bias)]
        return build.add("Conv", x, *constants, **more)

    def projected(x: str, rnn: nn.Module, way: str, **more: Any) -> str:
        h = rnn.hidden_size
        added = rnn.get_parameter(f"bias_hh_l0{way}")[: 2 * h]
        bias = rnn.get_parameter(f"bias_ih_l0{way}") + torch.cat([added, torch.zeros(h)])
        return conv(x, rnn.get_parameter(f"weight_ih_l0{way}"), bias, **more)

    def reads(x: str, axis: int, window: Window) -> list[str]:
        ends = (window.out - 1) * window.hop + 1
        return [build.slice(x, axis, t, t + ends, window.hop) for t in range(window.size)]

    def last(reads: list[str], rnn: nn.Module, way: str = "") -> str:
        h = rnn.hidden_size
        weight, bias = (
            rnn.get_parameter(f"weight_hh_l0{way}"),
            rnn.get_parameter(f"bias_hh_l0{way}"),
        )
        state, sizes = "", build.integers([2 * h, h])
        for read in reads:
            gates, into_new = build.split("Split", read, sizes, count=2, axis=1)
            recurrent = build.floats(bias[2 * h :, None, None])
            if state:
                gates = build.add("Add", conv(state, weight[: 2 * h]), gates)
                recurrent = conv(state, weight[2 * h :], bias[2 * h :])
            both = build.add("Sigmoid", gates)
            reset, update = build.split("Split", both, build.integers([h, h]), count=2, axis=1)
            new = build.add("Tanh", build.add("Add", build.add("Mul", reset, recurrent), into_new))
            less = build.add("Sub", state, new) if state else build.add("Neg", new)
            state = build.add("Add", new, build.add("Mul", update, less))
        return state

    pads = [rows.lead, columns.lead, rows.trail, columns.trail]
    maps = projected("x", layer.rnn1, "", pads=pads)
    by_row = last(reads(maps, 3, columns), layer.rnn1)
    by_column = last(reads(maps, 2, rows), layer.rnn1)
    summaries = [*reads(by_row, 2, rows), *reads(by_column, 3, columns)]
    both = build.add("Concat", *summaries, axis=1)
    linear = conv(both, layer.linear.weight, layer.linear.bias)
    ways: list[str] = []
    for ends, axis, window in ((by_row, 2, rows), (by_column, 3, columns)):
        forward, backward = (
            reads(projected(ends, layer.rnn2, way), axis, window) for way in ("", "_reverse")
        )
        ways += last(forward, layer.rnn2), last(backward[::-1], layer.rnn2, "_reverse")
    build.add("Concat", *ways[:2], linear, *ways[2:], axis=1, to="y")


def gru(build: Builder, x: str, rnn: nn.Module) -> str:
    """The last states of an `nn.GRU` over (T, M, features): (directions, M, hidden)."""
    h, both = rnn.hidden_size, rnn.bidirectional
    ways = ("", "_reverse") if both else ("",)

    def zrn(name: str) -> Tensor:
        parts = [rnn.get_parameter(f"{name}_l0{way}").split(h) for way in ways]
        return torch.stack([torch.cat([z, r, n]) for r, z, n in parts])

    weights = zrn("weight_ih"), zrn("weight_hh"), torch.cat([zrn("bias_ih"), zrn("bias_hh")], 1)
    _, last = build.split(
        *("GRU", x, *map(build.floats, weights)),
        count=2,
        hidden_size=h,
        direction="bidirectional" if both else "forward",
        linear_before_reset=1,
    )
    return last


def standard_operator(build: Builder, layer: ReX2d, size: int) -> None:
    """GRU over the shared sweeps."""
    form = LastForms(build, layer, size)
    maps = form.padded("x")

    def last(reads: list[str], rnn: nn.Module, shape: tuple[int, int]) -> str:
        """(1, A, B, features) at every step to (1, A, B, directions*hidden)."""
        features = rnn.input_size
        flat = build.integers([1, -1, features])
        steps = [build.add("Reshape", read, flat) for read in reads]
        ends = gru(build, build.add("Concat", *steps, axis=0), rnn)
        ends = build.add("Transpose", ends, perm=[1, 0, 2])
        return build.add("Reshape", ends, build.integers([1, *shape, -1]))

    rows, columns = form.rows, form.columns
    row_ends = last(form.reads(maps, 2, columns), layer.rnn1, (rows.lines, columns.out))
    column_ends = last(form.reads(maps, 1, rows), layer.rnn1, (rows.out, columns.lines))
    out = (rows.out, columns.out)
    form.merge(row_ends, column_ends, lambda reads: last(reads, layer.rnn2, out))


def patch_by_patch(build: Builder, layer: ReX2d, size: int) -> None:
    """GRU over every row and column of every patch, the input unfolded by Gather."""
    form = LastForms(build, layer, size)
    maps, rows, columns = form.padded("x"), form.rows, form.columns

    def lines(window: Window) -> Tensor:
        return torch.arange(window.out)[:, None] * window.hop + torch.arange(window.size)

    unfolded = maps  # 1 H W C
    for axis, window in ((2, columns), (1, rows)):
        index = build._constant(lines(window).numpy())
        unfolded = build.add("Gather", unfolded, index, axis=axis)  # 1 down h across w C
    h, w = rows.size, columns.size

    def ends(perm: list[int], steps: int) -> str:
        """To (patches, lines, hidden1), the lines of a patch in order."""
        turned = build.add("Transpose", unfolded, perm=perm)  # T, 1, down, across, line, C
        flat = build.add("Reshape", turned, build.integers([steps, -1, layer.in_channels]))
        last = gru(build, flat, layer.rnn1)
        shape = build.integers([rows.out * columns.out, -1, layer.hidden1])
        return build.add("Reshape", last, shape)

    by_row, by_column = ends([4, 0, 1, 3, 2, 5], w), ends([2, 0, 1, 3, 4, 5], h)

    def two_ways(summaries: str) -> str:
        last = gru(build, build.add("Transpose", summaries, perm=[1, 0, 2]), layer.rnn2)
        both = build.add("Transpose", last, perm=[1, 0, 2])
        return build.add("Reshape", both, build.integers([0, -1]))

    flat = build.add("Concat", by_row, by_column, axis=1)
    flat = build.add("Reshape", flat, build.integers([0, -1]))
    weights = build.floats(layer.linear.weight), build.floats(layer.linear.bias)
    linear = build.add("Gemm", flat, *weights, transB=1)
    out = build.add("Concat", two_ways(by_row), linear, two_ways(by_column), axis=1)
    out = build.add("Reshape", out, build.integers([1, rows.out, columns.out, -1]))
    build.add("Transpose", out, perm=[0, 3, 1, 2], to="y")


def steps(build: Builder, layer: ReX2d, size: int) -> None:
    write_rex(build, layer, "x", (layer.in_channels, size, size), "y")


def steps_one_product(build: Builder, layer: ReX2d, size: int) -> None:
    with patch.dict(cells.STEPS, gru=one_product):
        steps(build, layer, size)


def steps_sums_in_products(build: Builder, layer: ReX2d, size: int) -> None:
    with patch.dict(cells.STEPS, gru=sums_in_products):
        steps(build, layer, size)


FORMS: dict[str, Callable[[Builder, ReX2d, int], None]] = {
    "steps (as exported)": steps,
    "steps, sums in products": steps_sums_in_products,
    "steps, one product": steps_one_product,
    "steps, channels first": channels_first,
    "GRU over shared sweeps": standard_operator,
    "GRU, patch by patch": patch_by_patch,
}


@torch.no_grad()
def compare(size: int, repeats: int) -> None:
    torch.manual_seed(0)
    layer = ReX2d(32, 16, 8, 6, 4).eval()
    x = torch.randn(1, 32, size, size)

    def eager() -> Tensor:
        with using("0"):
            out: Tensor = layer(x)
        return out

    expected = eager()
    calls: dict[str, Callable[[], Any]] = {"torch, eager": eager}
    nodes = {"torch, eager": 0}
    if native() is not None:
        name = f"kernels in C, {in_use()}"
        calls[name], nodes[name] = lambda: layer(x), 0
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    for name, form in FORMS.items():
        build = Builder()
        form(build, layer, size)
        shapes = {"x": (32, size, size), "y": tuple(expected.shape[1:])}
        model = build.model("rex", ["x"], ["y"], shapes, {})
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

        def call(session: Any = session) -> Any:
            return session.run(None, {"x": x.numpy()})[0]

        np.testing.assert_allclose(call(), expected.numpy(), rtol=0, atol=1e-5)
        calls[name], nodes[name] = call, len(model.graph.node)
    times_ms: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, run in calls.items():
            start = time.perf_counter()
            run()
            times_ms[name].append(1e3 * (time.perf_counter() - start))
    print(f"ReX 32 -> 64, 6x6, stride 4, on {size}x{size}, batch 1, one thread, {repeats} times")
    print(f"{'':26}{'nodes':>7}{'min ms':>9}{'median':>9}")
    for name, found in times_ms.items():
        print(f"{name:26}{nodes[name]:7}{min(found):9.1f}{statistics.median(found):9.1f}")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--size", type=int, default=112, help="rows and columns of the map")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    compare(given.size, given.repeats)


if __name__ == "__main__":
    main()
