"""Recurrences whose gates need no state, as minGRU's: `h' = h + z (c - h)`, element by element.

Gates `z` and candidates `c` are activated for all pixels at once, and a step is a few operators on
views of them. Nothing is copied on the way there, and only the states are kept for the way back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Index = tuple[slice, ...]
Reads = Sequence[Sequence[Index]]
"""For every step, for every direction, what is read of the projected map."""

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward.grad_input


def with_own_backward() -> bool:
    """Whether backward passes written here are used; who writes down what runs sees plain
    operators.
    """
    recorded = torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None
    return torch.is_grad_enabled() and not recorded


def tanh(x: Tensor) -> Tensor:
    """`torch.tanh`; on a CPU to 1e-7 in a quarter of its time."""
    if x.device.type != "cpu" or x.dtype.itemsize < 4:
        return torch.tanh(x)
    return 2 * torch.sigmoid(2 * x) - 1


class Gates(torch.autograd.Function):
    """`[sigmoid(z) | tanh(c)]` of (D*2h, ...), whose features are `[z | c]` in every direction."""

    @staticmethod
    def forward(ctx: Any, projected: Tensor, directions: int) -> Tensor:
        gates = projected.new_empty(projected.shape)
        (before, new), (z, c) = _halves(projected, directions), _halves(gates, directions)
        torch.sigmoid(before, out=z)
        c.copy_(tanh(new))
        ctx.save_for_backward(gates)
        ctx.directions = directions
        return gates

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (gates,) = ctx.saved_tensors
        into = torch.empty_like(gates)
        parts = (_halves(x, ctx.directions) for x in (grad, gates, into))
        (grad_z, grad_c), (z, c), (into_z, into_c) = parts
        _sigmoid_backward(grad_z, z, grad_input=into_z)
        _tanh_backward(grad_c, c, grad_input=into_c)
        return into, None


class Scan(torch.autograd.Function):
    """Last states of every run over `gates` (features, H, W, N), from zero: (D*h, A, B, N) each."""

    @staticmethod
    def forward(ctx: Any, gates: Tensor, runs: Sequence[Reads]) -> tuple[Tensor, ...]:
        states: list[Tensor] = []
        ends = tuple(
            torch.cat([_run(gates, reads, states) for reads in zip(*run, strict=True)])
            for run in runs
        )
        ctx.save_for_backward(gates, *states)
        ctx.runs = runs
        return ends

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_ends: Tensor) -> tuple[Tensor, None]:
        gates, *states = ctx.saved_tensors
        into = torch.zeros_like(gates)
        for run, ends in zip(reversed(ctx.runs), reversed(grad_ends), strict=True):
            directions = [*zip(*run, strict=True)]
            parts = ends.chunk(len(directions))
            for reads, grad in reversed([*zip(directions, parts, strict=True)]):
                _back(gates, into, reads, states, grad)
        return into, None


def _halves(maps: Tensor, directions: int) -> tuple[Tensor, ...]:
    return maps.reshape(directions, 2, -1, *maps.shape[1:]).unbind(1)


def _run(gates: Tensor, reads: Sequence[Index], states: list[Tensor]) -> Tensor:
    """The last state, (h, A, B, N); those before every step but the first go to `states`."""
    z, c = gates[reads[0]].chunk(2)
    state = z * c
    for read in reads[1:]:
        states.append(state)
        z, c = gates[read].chunk(2)
        state = torch.lerp(state, c, z)
    return state


def _back(
    gates: Tensor, into: Tensor, reads: Sequence[Index], states: list[Tensor], grad: Tensor
) -> None:
    """Adds to `into` what the gradient of the last state is for `gates`; takes from `states`."""
    for read in reversed(reads[1:]):
        (z, c), (into_z, into_c) = gates[read].chunk(2), into[read].chunk(2)
        into_z.addcmul_(grad, c - states.pop())
        into_c.addcmul_(grad, z)
        grad = torch.addcmul(grad, grad, z, value=-1)
    (z, c), (into_z, into_c) = gates[reads[0]].chunk(2), into[reads[0]].chunk(2)
    into_z.addcmul_(grad, c)
    into_c.addcmul_(grad, z)
