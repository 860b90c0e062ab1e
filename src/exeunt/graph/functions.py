"""Calls that are a function of each number, each with what finds its plain form."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from exeunt.graph.call import Call, Made
from exeunt.graph.operators import Activation, Pair, ParametricReLU

aten = torch.ops.aten


def _activation(name: str) -> Callable[[Call], Made]:
    def make(call: Call) -> Made:
        return Activation(name), {}

    return make


def _settled(name: str, *defaults: tuple[str, float]) -> Callable[[Call], Made]:
    """A function with numbers that settle it, by their names in the call."""

    def make(call: Call) -> Made:
        numbers = (float(call.argument(k, *each)) for k, each in enumerate(defaults, 1))
        return Activation(":".join([name, *map(repr, numbers)])), {}

    return make


def _clip(low: tuple[int, str], high: tuple[int, str], ends: Pair = (0, 0)) -> Any:
    """What keeps numbers between two, by their places and names in the call."""

    def make(call: Call) -> Made | None:
        found = [
            call.argument(*at, default) if at[0] else None
            for at, default in zip((low, high), ends, strict=True)
        ]
        if any(isinstance(end, fx.Node) for end in found):
            return None
        least = -math.inf if found[0] is None else float(found[0])
        most = math.inf if found[1] is None else float(found[1])
        named = {(0.0, 6.0): "relu6", (0.0, math.inf): "relu"}
        return Activation(named.get((least, most), f"clip:{least!r}:{most!r}")), {}

    return make


def _gelu(call: Call) -> Made:
    exact = call.argument(1, "approximate", "none") == "none"
    return Activation("gelu" if exact else "gelu_tanh"), {}


def _elu(call: Call) -> Made | None:
    alpha = float(call.argument(1, "alpha", 1.0))
    others = call.argument(2, "scale", 1.0), call.argument(3, "input_scale", 1.0)
    return (Activation(f"elu:{alpha!r}"), {}) if others == (1, 1) else None


def _prelu(call: Call) -> Made | None:
    slope = call.constants.get(1)
    if slope is None or len(call.shape) not in (1, 3):
        return None
    return ParametricReLU(), {"slope": slope.expand(call.shape[0])}


FUNCTIONS: dict[Any, Callable[[Call], Made | None]] = {
    aten.relu.default: _activation("relu"),
    aten.relu6.default: _activation("relu6"),
    aten.hardtanh.default: _clip((1, "min_val"), (2, "max_val"), (-1, 1)),
    aten.clamp.default: _clip((1, "min"), (2, "max")),
    aten.clamp_min.default: _clip((1, "min"), (0, "")),
    aten.clamp_max.default: _clip((0, ""), (1, "max")),
    aten.sigmoid.default: _activation("sigmoid"),
    aten.tanh.default: _activation("tanh"),
    aten.silu.default: _activation("silu"),
    aten.gelu.default: _gelu,
    aten.hardswish.default: _activation("hardswish"),
    aten.hardsigmoid.default: _activation("hardsigmoid"),
    aten.leaky_relu.default: _settled("leaky_relu", ("negative_slope", 0.01)),
    aten.elu.default: _elu,
    aten.mish.default: _activation("mish"),
    aten.softplus.default: _settled("softplus", ("beta", 1.0), ("threshold", 20.0)),
    aten.prelu.default: _prelu,
}
"""By call; what a function returns None for has no plain form after all."""
