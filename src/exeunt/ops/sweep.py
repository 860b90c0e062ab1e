"""Many recurrences over shared inputs, with a backward pass that keeps only the states.

Recording every gate of every step for autograd costs several times the input map. `sweep` keeps the
input projections and the states between steps, and computes each step's gates again on the way
back; gradients of overlapping reads are added up in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from exeunt.ops.recurrence import Cell, State

Index = tuple[slice, ...]
Reads = Sequence[Sequence[Index]]
"""For every step, for every direction, what is read of the projected map."""


def sweep(projected: Tensor, reads: Reads, cell: Cell, weight_hh: Tensor, bias: Tensor) -> Tensor:
    """Runs D directions side by side from zero states and returns the last hidden states.

    Args:
        projected: projected inputs, (features, N, H, W).
        reads: T steps of D indices into it, each giving (G*h, N, A, B).
        cell: what one step does.
        weight_hh: (D, G*h, h).
        bias: (D, *, 1), as the cell's step takes it.

    Returns:
        (D*h, N, A, B).
    """
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():
        hidden: Tensor = _Sweep.apply(projected, weight_hh, bias, reads, cell)
    else:
        state = _zeros(projected, reads, cell, weight_hh)
        for read in reads:
            state = cell.step(_gather(projected, read), state, weight_hh, bias)
        hidden = state[0]
    return hidden.flatten(0, 1).unflatten(1, projected[reads[0][0]].shape[1:])


def _gather(projected: Tensor, read: Sequence[Index]) -> Tensor:
    """One step's inputs, (D, G*h, M)."""
    return torch.stack([projected[index] for index in read]).flatten(2)


def _zeros(projected: Tensor, reads: Reads, cell: Cell, weight_hh: Tensor) -> State:
    sequences = projected[reads[0][0]].shape[1:].numel()
    directions, _, size = weight_hh.shape
    return tuple(projected.new_zeros(directions, size, sequences) for _ in range(cell.states))


class _Sweep(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, projected: Tensor, weight_hh: Tensor, bias: Tensor, reads: Reads, cell: Cell
    ) -> Tensor:
        state = _zeros(projected, reads, cell, weight_hh)
        states = []
        for read in reads:
            states += state
            state = cell.step(_gather(projected, read), state, weight_hh, bias)
        ctx.save_for_backward(projected, weight_hh, bias, *states)
        ctx.reads, ctx.cell = reads, cell
        return state[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_hidden: Tensor) -> tuple[Tensor | None, ...]:
        projected, weight_hh, bias, *states = ctx.saved_tensors
        reads, cell = ctx.reads, ctx.cell
        grad_projected = torch.zeros_like(projected)
        grad_weight, grad_bias = torch.zeros_like(weight_hh), torch.zeros_like(bias)
        grad_state = [grad_hidden, *(torch.zeros_like(grad_hidden) for _ in range(cell.states - 1))]
        for t in reversed(range(len(reads))):
            before = states[t * cell.states : (t + 1) * cell.states]
            inputs = [_gather(projected, reads[t]), weight_hh, bias, *before]
            inputs = [tensor.detach().requires_grad_() for tensor in inputs]
            with torch.enable_grad():
                taken, weight, offset, *state = inputs
                after = cell.step(taken, tuple(state), weight, offset)
            grad_taken, step_weight, step_bias, *grad_state = torch.autograd.grad(
                after, inputs, grad_state
            )
            grad_weight += step_weight
            grad_bias += step_bias
            for d, index in enumerate(reads[t]):
                place = grad_projected[index]
                place += grad_taken[d].view_as(place)
        return grad_projected, grad_weight, grad_bias, None, None
