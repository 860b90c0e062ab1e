"""Gradient equilibrium: exits share what they ask of a trunk (IMTA, Li et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from exeunt.net import MultiExitNet, Stage


class _Scale(torch.autograd.Function):
    """The identity, whose gradient is multiplied by a constant."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0] * ctx.factor, None


def scale_gradient(x: Tensor, factor: float) -> Tensor:
    """x itself; what flows back through it is multiplied by `factor`."""
    scaled: Tensor = _Scale.apply(x, factor)  # type: ignore[no-untyped-call]
    return scaled


@contextmanager
def gradient_equilibrium(net: MultiExitNet) -> Iterator[None]:
    """Balances the gradients of `net` while the block runs; what it computes does not change.

    At the feature of exit i = 1..E, the gradient from the exit is multiplied by `1 / (E - i + 1)`
    and that from all later stages by `(E - i) / (E - i + 1)`, so that no more than one exit's worth
    reaches a trunk. The exits' own weights keep their full gradient. In a net whose state has
    several tensors, only the one that the exit reads is balanced, as in the published code; in
    RANet it may also carry what the next sub-network reads.
    """
    stages = [stage for stage in net.stages if isinstance(stage, Stage)]
    hooks = []
    for k, stage in enumerate(stages):
        waiting = len(stages) - k
        hooks.append(stage.get_submodule("exit").register_forward_pre_hook(_balance(1 / waiting)))
        if waiting > 1:
            onward = _onward(stage, (waiting - 1) / waiting)
            hooks.append(stages[k + 1].register_forward_pre_hook(onward))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _balance(factor: float) -> Any:
    def hook(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return scale_gradient(args[0], factor), *args[1:]

    return hook


def _onward(stage: Stage, factor: float) -> Any:
    """A hook for the stage that follows `stage`."""

    def hook(module: nn.Module, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        feature = stage.feature(*state)
        return tuple(scale_gradient(part, factor) if part is feature else part for part in state)

    return hook
