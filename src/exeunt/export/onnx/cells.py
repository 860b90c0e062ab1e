"""Recurrent cells as standard ONNX operators, one step at a time, channels last.

A step sees the pixels of inputs that were projected before, (M, *), and states (M, h): every gate
is a block of channels, and the recurrent matrix one product over all pixels. Two directions
are one cell of twice the size whose matrices are block diagonal; `h` counts the channels of both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from exeunt.export.onnx.builder import Builder
from exeunt.ops.recurrence import CELLS, CellWeights

State = tuple[str, ...]
Projected = tuple[str, ...]


@dataclass(frozen=True)
class Weights:
    """The weights of a cell whose gates are blocks of channels, all directions in each.

    Attributes:
        project: (G*h, inputs), of what is read.
        project_bias: (G*h,).
        recur: (G*h, h), of the state; empty where states have no weights.
        bias: (*, h), what a step adds by itself, one row for each use; without rows for most cells.
        size: h.
    """

    project: Tensor
    project_bias: Tensor
    recur: Tensor
    bias: Tensor
    size: int

    @classmethod
    def of(cls, module: nn.Module, cell: str, directions: int) -> Weights:
        """Reads a module of `CELLS`; several directions get inputs of their own, in order."""
        weights = CellWeights.of(module, directions)
        one = weights.weight_hh.shape[2]
        gates = CELLS[cell].gates

        def blocks(matrices: Tensor) -> Tensor:
            """(D, G*h, n) to (G*D*h, D*n), each direction reading its own n."""
            parts = matrices.reshape(directions, gates, one, -1)
            diagonal: Any = torch.block_diag
            return torch.cat([diagonal(*parts[:, gate]) for gate in range(gates)])

        project = weights.weight_ih.reshape(directions, gates * one, -1)
        bias_ih = weights.bias_ih
        if bias_ih is None:
            bias_ih = project.new_zeros(directions * gates * one)
        if cell == "fastgrnn":
            update, new, zeta, nu = torch.split(weights.bias[..., 0], [one, one, 1, 1], 1)
            shares = [s.sigmoid().expand(-1, one) for s in (zeta, nu)]
            bias = torch.stack([update, new, *shares], 1)
        else:
            bias = weights.bias[..., 0].reshape(directions, -1, one)
        return cls(
            blocks(project),
            bias_ih.reshape(directions, gates, one).transpose(0, 1).flatten(),
            blocks(weights.weight_hh) if weights.weight_hh.numel() else project.new_zeros(0, 0),
            bias.transpose(0, 1).flatten(1),
            directions * one,
        )


def matrix(build: Builder, x: str, weight: Tensor, bias: Tensor | None = None) -> str:
    """A matrix (K, C) over rows (M, C), and a bias (K,), for which there is one operator."""
    if bias is None:
        return build.add("MatMul", x, build.floats(weight.T))
    return build.add("Gemm", x, build.floats(weight.T), build.floats(bias))


def over_map(build: Builder, x: str, weight: Tensor, bias: Tensor, sizes: tuple[int, int]) -> str:
    """`matrix` over a map (N, A, B, C) of known sizes A and B."""
    rows = build.add("Reshape", x, build.integers([-1, weight.shape[1]]))
    made = matrix(build, rows, weight, bias)
    return build.add("Reshape", made, build.integers([-1, *sizes, len(weight)]))


def project(
    build: Builder, x: str, weights: Weights, cell: str, sizes: tuple[int, int]
) -> Projected:
    """What a map (N, A, B, C) of inputs adds to the gates: a map for each of `parts`."""
    widths = parts(weights, cell)
    both = (torch.split(one, widths) for one in (weights.project, weights.project_bias))
    pairs = [*zip(*both, strict=True)]
    if cell == "mingru":
        (update, bias), (fresh, fresh_bias) = pairs
        keep = build.add("Sigmoid", over_map(build, x, -update, -bias, sizes))
        new = build.add("Tanh", over_map(build, x, fresh, fresh_bias, sizes))
        return keep, build.add("Sub", new, build.add("Mul", keep, new))
    return tuple(over_map(build, x, weight, bias, sizes) for weight, bias in pairs)


def parts(weights: Weights, cell: str) -> list[int]:
    """Channels of the gates that steps read apart: what is a map of its own need not be cut."""
    gates = len(weights.project) // weights.size
    counts = {"gru": (2, 1), "mingru": (1, 1)}.get(cell, (gates,))
    return [weights.size * count for count in counts]


def _blocks(build: Builder, x: str, sizes: list[int]) -> list[str]:
    """A map cut into blocks of channels."""
    return build.split("Split", x, build.integers(sizes), count=len(sizes), axis=-1)


def gru_step(build: Builder, projected: Projected, state: State, weights: Weights) -> State:
    """Gates r, z, n; what r scales has a bias of its own."""
    h = weights.size
    into_gates, into_new = projected
    if state:
        (hidden,) = state
        into_gates = build.add("Add", matrix(build, hidden, weights.recur[: 2 * h]), into_gates)
        recurrent = matrix(build, hidden, weights.recur[2 * h :], weights.bias[0])
    else:
        recurrent = build.floats(weights.bias[0])
    reset, update = _blocks(build, build.add("Sigmoid", into_gates), [h, h])
    new = build.add("Tanh", build.add("Add", build.add("Mul", reset, recurrent), into_new))
    if not state:
        return (build.add("Sub", new, build.add("Mul", update, new)),)
    return (build.add("Add", new, build.add("Mul", update, build.add("Sub", state[0], new))),)


def lstm_step(build: Builder, projected: Projected, state: State, weights: Weights) -> State:
    """Gates i, f, g, o; the state is (h, c)."""
    (gates,) = projected
    if state:
        gates = build.add("Add", matrix(build, state[0], weights.recur), gates)
    take, keep, new, show = _blocks(build, gates, [weights.size] * 4)
    memory = build.add("Mul", build.add("Sigmoid", take), build.add("Tanh", new))
    if state:
        memory = build.add("Add", build.add("Mul", build.add("Sigmoid", keep), state[1]), memory)
    return build.add("Mul", build.add("Sigmoid", show), build.add("Tanh", memory)), memory


def rnn_step(build: Builder, projected: Projected, state: State, weights: Weights) -> State:
    """One gate, tanh."""
    (gate,) = projected
    if state:
        gate = build.add("Add", matrix(build, state[0], weights.recur), gate)
    return (build.add("Tanh", gate),)


def fastgrnn_step(build: Builder, projected: Projected, state: State, weights: Weights) -> State:
    """`z h + (zeta (1 - z) + nu) c`; gates z and c differ by their biases only."""
    to_update, to_new, zeta, nu = (build.floats(row) for row in weights.bias)
    (shared,) = projected
    if state:
        shared = build.add("Add", matrix(build, state[0], weights.recur), shared)
    update = build.add("Sigmoid", build.add("Add", shared, to_update))
    new = build.add("Tanh", build.add("Add", shared, to_new))
    left = build.add("Sub", build.floats(1.0), update)
    share = build.add("Add", build.add("Mul", left, zeta), nu)
    taken = build.add("Mul", share, new)
    if not state:
        return (taken,)
    return (build.add("Add", build.add("Mul", update, state[0]), taken),)


def mingru_step(build: Builder, projected: Projected, state: State, weights: Weights) -> State:
    """`k h + (1 - k) c`, where `k = 1 - z` and what it is added to were found before."""
    keep, added = projected
    if not state:
        return (added,)
    return (build.add("Add", build.add("Mul", keep, state[0]), added),)


STEPS: dict[str, Callable[[Builder, Projected, State, Weights], State]] = {
    "gru": gru_step,
    "lstm": lstm_step,
    "rnn": rnn_step,
    "fastgrnn": fastgrnn_step,
    "mingru": mingru_step,
}
"""From projected inputs and a state (none before the first step) to the next state, h first."""
