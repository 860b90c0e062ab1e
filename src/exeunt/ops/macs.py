"""Multiply-adds of one forward pass, by operator formula.

A MAC is one multiply-add of a convolution, a linear layer or a recurrent cell, for one image;
biases, normalisation, activations and pooling count nothing. "FLOPs" in most papers of the field
are these MACs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from exeunt.ops.exits import MixedPoolExit
from exeunt.ops.pooling import GatedPool2d, MixedPool2d
from exeunt.ops.renet import ReNet2d
from exeunt.ops.rex import ReX2d
from exeunt.ops.rnnpool import RNNPool2d


def _conv_macs(module: nn.Conv2d, inputs: tuple[Any, ...], output: Tensor) -> int:
    return math.prod(output.shape[1:]) * math.prod(module.weight.shape[1:])


def _linear_macs(module: nn.Linear, inputs: tuple[Any, ...], output: Tensor) -> int:
    return math.prod(output.shape[1:]) * module.in_features


def _rex_macs(module: ReX2d, inputs: tuple[Any, ...], output: Tensor) -> int:
    return module.macs(*inputs[0].shape[2:]).shared


def _renet_macs(module: ReNet2d, inputs: tuple[Any, ...], output: Tensor) -> int:
    matrices = [weight for weight in module.parameters() if weight.dim() == 2]
    return math.prod(output.shape[2:]) * sum(weight.numel() for weight in matrices)


def _gated_pool_macs(module: GatedPool2d, inputs: tuple[Any, ...], output: Tensor) -> int:
    return math.prod(output.shape[1:]) * module.kernel_size**2


HANDLERS: dict[type[nn.Module], Callable[..., int]] = {
    nn.Conv2d: _conv_macs,
    nn.Linear: _linear_macs,
    ReX2d: _rex_macs,
    RNNPool2d: _rex_macs,
    ReNet2d: _renet_macs,
    GatedPool2d: _gated_pool_macs,
}
"""What each operator costs, from the module, its inputs and its output. Extend it for your own."""

FREE = (nn.modules.batchnorm._BatchNorm, MixedPoolExit, MixedPool2d)
"""These have parameters of their own that do no multiply-adds of the kinds that count."""


@dataclass
class MacCount:
    """MACs by module name, and the parametrised modules that no handler knows.

    Attributes:
        by_module: MACs of one image, for every counted module, in the order they ran.
        uncounted: names of modules with parameters of their own and no handler.
    """

    by_module: dict[str, int] = field(default_factory=dict)
    uncounted: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(self.by_module.values())


@contextmanager
def counting_macs(module: nn.Module) -> Iterator[MacCount]:
    """Counts what `module` and its children run inside the `with` block."""
    count = MacCount()
    hooks = []

    def watch(name: str, handler: Callable[..., int]) -> Callable[..., None]:
        def hook(child: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            count.by_module[name] = count.by_module.get(name, 0) + handler(child, inputs, output)

        return hook

    def visit(name: str, child: nn.Module) -> None:
        handler = HANDLERS.get(type(child))
        if handler is not None:
            hooks.append(child.register_forward_hook(watch(name, handler)))
            return
        own = next(child.parameters(recurse=False), None)
        if own is not None and not isinstance(child, FREE):
            count.uncounted.append(name)
        for suffix, grandchild in child.named_children():
            visit(f"{name}.{suffix}" if name else suffix, grandchild)

    visit("", module)
    try:
        yield count
    finally:
        for hook in hooks:
            hook.remove()


def count_macs(module: nn.Module, *inputs: Tensor) -> MacCount:
    """MACs of `module(*inputs)` per image; see `MacCount`."""
    with counting_macs(module) as count:
        module(*inputs)
    return count
