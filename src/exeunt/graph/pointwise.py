"""Functions of single numbers.

A function goes by a name, and by the numbers that settle it where it has some: `leaky_relu:0.1`,
`clip:-1:1`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch.nn.functional as F
from torch import Tensor

from exeunt.graph.operator import Constants, Operator


def _clip(x: Tensor, low: float, high: float) -> Tensor:
    return x.clamp(low, high)


def _leaky(x: Tensor, slope: float) -> Tensor:
    return F.leaky_relu(x, slope)


def _softplus(x: Tensor, beta: float, threshold: float) -> Tensor:
    return F.softplus(x, beta, threshold)


def _elu(x: Tensor, depth: float) -> Tensor:
    return F.elu(x, depth)


ACTIVATIONS: dict[str, Callable[..., Tensor]] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "clip": _clip,
    "sigmoid": F.sigmoid,
    "tanh": F.tanh,
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
    "leaky_relu": _leaky,
    "elu": _elu,
    "mish": F.mish,
    "softplus": _softplus,
}
"""By name; what follows a name are the arguments behind the first, a number each."""


def activate(act: str, x: Tensor) -> Tensor:
    """Applies the function of that name, perhaps with its numbers."""
    name, numbers = named(act)
    return ACTIVATIONS[name](x, *numbers)


def named(act: str) -> tuple[str, list[float]]:
    """The name of a function, and its numbers."""
    name, *numbers = act.split(":")
    return name, [*map(float, numbers)]


def bounds(act: str | None) -> tuple[float, float] | None:
    """What a function keeps its input between, if it does nothing else; None itself is one."""
    name, numbers = named(act or "clip:-inf:inf")
    if name == "clip":
        low, high = numbers
        return low, high
    return {"relu": (0.0, math.inf), "relu6": (0.0, 6.0)}.get(name)


@dataclass(frozen=True)
class Activated(Operator):
    """An operator that may end in a function by name."""

    act: str | None = field(default=None, kw_only=True)

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        out = self.linear(inputs, constants)
        return out if self.act is None else activate(self.act, out)

    @abstractmethod
    def linear(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        """What comes before the activation."""


@dataclass(frozen=True)
class Activation(Operator):
    """A function that nothing before it could take in."""

    by_pixel = in_place = True
    act: str

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        return activate(self.act, inputs[0])


@dataclass(frozen=True)
class ParametricReLU(Operator):
    """`x`, or `slope * x` below 0; the constant `slope` (C) has a number for each channel."""

    by_pixel = in_place = True

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        return F.prelu(inputs[0], constants["slope"])
