"""Recurrences over overlapping reads of one map, with a backward pass that keeps only the states.

Recording every gate of every step for autograd costs several times the input map. `sweep` keeps the
input projections and the states between steps, and computes each step's gates again on the way
back; the gradients of overlapping reads are added up in place, in one map. Where gates need no
state, as minGRU's, a step is a few operators on views, and nothing is copied to be read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from exeunt.ops.recurrence import Cell, State
from exeunt.ops.watched import with_own_backward

Index = tuple[slice, ...]
Reads = Sequence[Sequence[Index]]
"""For every step, for every direction, what is read of the projected map."""


def sweep(
    projected: Tensor, runs: Sequence[Reads], cell: Cell, weight_hh: Tensor, bias: Tensor
) -> tuple[Tensor, ...]:
    """Runs D directions side by side from zero states and returns the last hidden states.

    Args:
        projected: projected inputs, (features, H, W, N), as `Cell.project` gives them.
        runs: independent recurrences over it, each T steps of D indices that give (G*h, A, B, N).
        cell: what one step does.
        weight_hh: (D, G*h, h), or (D, 0, h) where states have no weights.
        bias: (D, *, 1), as the cell's step takes it.

    Returns:
        For every run, (D*h, A, B, N).
    """
    ends: tuple[Tensor, ...]
    if not with_own_backward():
        ends = tuple(_run(projected, reads, cell, weight_hh, bias) for reads in runs)
    elif cell.activate is not None:
        ends = _Scan.apply(projected, runs)  # type: ignore[no-untyped-call]
    else:
        ends = _Sweep.apply(  # type: ignore[no-untyped-call]
            projected, weight_hh, bias, runs, cell
        )
    directions, _, size = weight_hh.shape
    return tuple(
        hidden.view(directions * size, *projected[reads[0][0]].shape[1:])
        for hidden, reads in zip(ends, runs, strict=True)
    )


def gather(maps: Tensor, reads: Sequence[Index]) -> Tensor:
    """Everything that `reads` index in `maps`, one after the other along the features."""
    if with_own_backward():
        gathered: Tensor = _Gather.apply(maps, reads)  # type: ignore[no-untyped-call]
        return gathered
    return torch.cat([maps[index] for index in reads])


def _take(projected: Tensor, read: Sequence[Index]) -> Tensor:
    """One step's inputs, (D, G*h, M): always a copy."""
    return torch.stack([projected[index] for index in read]).flatten(2)


def _run(
    projected: Tensor,
    reads: Reads,
    cell: Cell,
    weight_hh: Tensor,
    bias: Tensor,
    states: list[State] | None = None,
) -> Tensor:
    """The last hidden state, (D, h, M); the state before every step goes to `states`."""
    directions, _, size = weight_hh.shape
    sequences = math.prod(projected[reads[0][0]].shape[1:])
    state: State = (projected.new_zeros(1).expand(directions, size, sequences),) * cell.states
    for read in reads:
        if states is not None:
            states.append(state)
        state = cell.step(_take(projected, read), state, weight_hh, bias)
    return state[0]


class _Sweep(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        projected: Tensor,
        weight_hh: Tensor,
        bias: Tensor,
        runs: Sequence[Reads],
        cell: Cell,
    ) -> tuple[Tensor, ...]:
        states: list[State] = []
        ends = tuple(_run(projected, reads, cell, weight_hh, bias, states) for reads in runs)
        flat = [tensor for state in states for tensor in state]
        ctx.save_for_backward(projected, weight_hh, bias, *flat)
        ctx.runs, ctx.cell = runs, cell
        return ends

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_ends: Tensor) -> tuple[Tensor | None, ...]:
        projected, weight_hh, bias, *states = ctx.saved_tensors
        cell = ctx.cell
        grad_projected = torch.zeros_like(projected)
        grad_weight, grad_bias = torch.zeros_like(weight_hh), torch.zeros_like(bias)
        with torch.autocast(projected.device.type, enabled=False):
            for reads, grad_end in zip(reversed(ctx.runs), reversed(grad_ends), strict=True):
                grad_state = (grad_end, *[torch.zeros_like(grad_end)] * (cell.states - 1))
                for read in reversed(reads):
                    before = tuple(states.pop() for _ in range(cell.states))[::-1]
                    taken = _take(projected, read)
                    grad_taken, grad_state, step_weight, step_bias = cell.backward(
                        taken, before, weight_hh, bias, grad_state
                    )
                    grad_weight += step_weight
                    grad_bias += step_bias
                    for index, grad in zip(read, grad_taken, strict=True):
                        _add(grad_projected[index], grad)
        return grad_projected, grad_weight, grad_bias, None, None


class _Scan(torch.autograd.Function):
    """The sweep of a cell whose step is `h + z (c - h)`, from activated gates [z | c]."""

    @staticmethod
    def forward(ctx: Any, gates: Tensor, runs: Sequence[Reads]) -> tuple[Tensor, ...]:
        states: list[Tensor] = []
        ends = tuple(
            torch.cat([_scan(gates, reads, states) for reads in zip(*run, strict=True)])
            for run in runs
        )
        ctx.save_for_backward(gates, *states)
        ctx.runs = runs
        return ends

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_ends: Tensor) -> tuple[Tensor, None]:
        gates, *states = ctx.saved_tensors
        grad_gates = torch.zeros_like(gates)
        for run, ends in zip(reversed(ctx.runs), reversed(grad_ends), strict=True):
            directions = [*zip(*run, strict=True)]
            parts = ends.chunk(len(directions))
            for reads, grad in reversed([*zip(directions, parts, strict=True)]):
                _scan_back(gates, grad_gates, reads, states, grad)
        return grad_gates, None


def _scan(gates: Tensor, reads: Sequence[Index], states: list[Tensor]) -> Tensor:
    """The last state of one direction, (h, A, B, N); those before every step but the first go to
    `states`.
    """
    z, c = gates[reads[0]].chunk(2)
    state = z * c
    for read in reads[1:]:
        states.append(state)
        z, c = gates[read].chunk(2)
        state = torch.lerp(state, c, z)
    return state


def _scan_back(
    gates: Tensor, grad_gates: Tensor, reads: Sequence[Index], states: list[Tensor], grad: Tensor
) -> None:
    """Adds to `grad_gates` what the gradient of a last state gives; takes from `states`."""
    for t in reversed(range(len(reads))):
        (z, c), (grad_z, grad_c) = gates[reads[t]].chunk(2), grad_gates[reads[t]].chunk(2)
        grad_z.addcmul_(grad, c - states.pop() if t else c)
        grad_c.addcmul_(grad, z)
        if t:
            grad = torch.addcmul(grad, grad, z, value=-1)


class _Gather(torch.autograd.Function):
    """`torch.cat` of slices, whose own backward pass would fill a whole map for every slice."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, reads: Sequence[Index]) -> Tensor:
        ctx.shape, ctx.reads = maps.shape, reads
        return torch.cat([maps[index] for index in reads])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        grad_maps = grad.new_zeros(ctx.shape)
        for index, part in zip(ctx.reads, grad.chunk(len(ctx.reads)), strict=True):
            _add(grad_maps[index], part)
        return grad_maps, None


def _add(place: Tensor, grad: Tensor) -> None:
    place += grad.view_as(place)
