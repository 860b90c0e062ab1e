from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from exeunt.net import MultiExitNet


@pytest.fixture
def reference_macs() -> Callable[..., list[float]]:
    """Cumulative cost of every exit in millions, as MSDNet's and RANet's published code counts.

    A convolution costs its MACs, a linear layer its weights and biases, a ReLU one operation per
    value, a pooling window one per input; norms, concatenation and interpolation cost nothing.
    Networks may be on the meta device. The exits' last pooling (2x2) is a plain mean here and is
    added by hand. With `bare`, convolutions and linear layers alone.
    """

    def count(net: MultiExitNet, size: int, *, bare: bool = False) -> list[float]:
        def hook(module: nn.Module, inputs: tuple[Any, ...], out: Tensor) -> None:
            nonlocal total
            if isinstance(module, nn.Conv2d):
                per_value = module.in_channels * math.prod(module.kernel_size) // module.groups
                total += out.numel() * per_value
            elif isinstance(module, nn.Linear):
                total += module.in_features * module.out_features + module.out_features
                total += 0 if bare else 4 * module.in_features  # behind a 2x2 pooling
            elif isinstance(module, nn.ReLU) and not bare:
                total += out.numel()
            elif isinstance(module, nn.MaxPool2d) and not bare:
                total += out.numel() * int(module.kernel_size) ** 2

        total = 0
        hooks = [module.register_forward_hook(hook) for module in net.modules()]
        weight = next(net.parameters())
        state = net.eval().begin(weight.new_zeros(1, net.in_chans, size, size))
        costs = []
        with torch.no_grad():
            for k in range(net.num_exits):
                _, state = net.step(k, state)
                costs.append(total / 1e6)
        for handle in hooks:
            handle.remove()
        return costs

    return count
