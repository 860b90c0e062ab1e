"""Modules that stay whole in the graph, in ONNX operators: ReX, ReNet, and pools that learn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from exeunt.export.onnx.builder import Builder
from exeunt.export.onnx.pools import over_the_edge, write_pool
from exeunt.export.onnx.renet import write_renet
from exeunt.export.onnx.rex import write_rex
from exeunt.graph.operators import Pool, Shape
from exeunt.ops.lift import Lift, LiftDownPool2d
from exeunt.ops.pooling import GatedPool2d, GFGP2d, MixedPool2d
from exeunt.ops.renet import ReNet2d
from exeunt.ops.rex import ReX2d

Writer = Callable[[Builder, nn.Module, str, Shape, str, Shape], object]
"""Adds a module: what is read, its shape, what the output is called, its shape."""


def _rex(build: Builder, layer: ReX2d, x: str, shape: Shape, to: str, out: Shape) -> None:
    write_rex(build, layer, x, shape, to)


def _mixed(build: Builder, pool: MixedPool2d, x: str, shape: Shape, to: str, out: Shape) -> None:
    share = build.floats(pool.alpha[:, None, None])
    _mix(build, pool, x, share, shape, to, out)


def _gated(build: Builder, pool: GatedPool2d, x: str, shape: Shape, to: str, out: Shape) -> None:
    size, stride = pool.kernel_size, pool.stride
    pads = [0, 0, *_overhang(pool, shape, out)]
    mask = build.floats(pool.mask.expand(shape[0], -1, -1, -1))
    gate = build.add(
        *("Conv", x, mask),
        group=shape[0],
        kernel_shape=[size, size],
        strides=[stride, stride],
        pads=pads,
    )
    _mix(build, pool, x, build.add("Sigmoid", gate), shape, to, out)


def _mix(
    build: Builder,
    pool: MixedPool2d | GatedPool2d,
    x: str,
    share: str,
    shape: Shape,
    to: str,
    out: Shape,
) -> None:
    """`average + share * (maximum - average)` of every window."""
    largest, average = (
        write_pool(build, window, x, shape, out)
        for window in (_window(pool, "max"), _window(pool, "average"))
    )
    more = build.add("Mul", share, build.add("Sub", largest, average))
    build.add("Add", average, more, to=to)


def _guided(build: Builder, pool: GFGP2d, x: str, shape: Shape, to: str, out: Shape) -> None:
    """Windows stacked along a new axis, what lies outside the map weighing nothing."""
    sharpness = build.add("GlobalAveragePool", x)
    guide = pool.guide
    for conv, norm in ((guide.reduce, guide.reduce_norm), (guide.expand, guide.expand_norm)):
        sharpness = build.add("Conv", sharpness, *_folded(build, conv, norm))
        if conv is guide.reduce:
            sharpness = build.add("Relu", sharpness)
    bound = {nn.Sigmoid: "Sigmoid", nn.Softplus: "Softplus"}[type(guide.bound)]
    sharpness = build.add(bound, sharpness)
    down, across = _overhang(pool, shape, out)
    pads, axes = build.integers([0, 0, down, across]), build.integers([2, 3])
    values = build.add("Pad", x, pads, "", axes)
    weights = build.add("Exp", _less_largest(build, pool, x, values, sharpness, shape, out))
    if down or across:
        inside = np.zeros((shape[1] + down, shape[2] + across), np.float32)
        inside[: shape[1], : shape[2]] = 1
        weights = build.add(
            "Mul", weights, _stack(build, pool, build.floats(inside[None, None]), out)
        )
    stacked = _stack(build, pool, values, out)
    axis = build.integers([0])
    top = build.add("ReduceSum", build.add("Mul", weights, stacked), axis, keepdims=0)
    build.add("Div", top, build.add("ReduceSum", weights, axis, keepdims=0), to=to)


def _less_largest(
    build: Builder, pool: GFGP2d, x: str, values: str, sharpness: str, shape: Shape, out: Shape
) -> str:
    """`sharpness * (pixel - largest of its window)`, at most 0 inside the map."""
    largest = write_pool(build, _window(pool, "max"), x, shape, out)
    less = build.add("Sub", _stack(build, pool, values, out), largest)
    return build.add("Mul", build.add("Min", less, build.floats(0.0)), sharpness)


def _stack(build: Builder, pool: GFGP2d, maps: str, out: Shape) -> str:
    """The pixels of every window, along a new first axis."""
    size, stride = pool.kernel_size, pool.stride
    parts = []
    for i in range(size):
        rows = build.slice(maps, 2, i, i + (out[1] - 1) * stride + 1, stride)
        for j in range(size):
            part = build.slice(rows, 3, j, j + (out[2] - 1) * stride + 1, stride)
            parts.append(build.add("Unsqueeze", part, build.integers([0])))
    return build.add("Concat", *parts, axis=0)


def _window(pool: MixedPool2d | GatedPool2d | GFGP2d, of: Literal["max", "average"]) -> Pool:
    return Pool(of, (pool.kernel_size,) * 2, (pool.stride,) * 2, ceil=True)


def _overhang(pool: GatedPool2d | GFGP2d, shape: Shape, out: Shape) -> Sequence[int]:
    return over_the_edge(shape, out, (pool.kernel_size,) * 2, (pool.stride,) * 2, (0, 0))


def _folded(build: Builder, conv: object, norm: object) -> tuple[str, str]:
    """Weight and bias of a convolution with the batch norm after it."""
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    shift: Tensor = norm.bias - norm.running_mean * scale
    if conv.bias is not None:
        shift = shift + conv.bias * scale
    return build.floats(conv.weight * scale[:, None, None, None]), build.floats(shift)


def _lift_down(
    build: Builder, pool: LiftDownPool2d, x: str, shape: Shape, to: str, out: Shape
) -> None:
    low, high = _lift(build, pool.across, x, shape[2])
    bands = [
        *_lift(build, pool.down_low, low, shape[1]),
        *_lift(build, pool.down_high, high, shape[1]),
    ]
    build.add("Sum", *bands, to=to)


def _lift(build: Builder, lift: Lift, x: str, lines: int) -> tuple[str, str]:
    """Approximation and detail along the axis of a lifting step."""
    if lines % 2:
        x = build.add("Concat", x, build.slice(x, lift.axis, lines - 1, lines), axis=lift.axis)
    stop = lines + lines % 2
    even, odd = (build.slice(x, lift.axis, first, stop, 2) for first in (0, 1))
    detail = build.add("Sub", odd, _filter(build, lift.predict, even))
    return build.add("Add", even, _filter(build, lift.update, detail)), detail


def _filter(build: Builder, parts: nn.Sequential, x: str) -> str:
    """Convolution, ReLU, 1x1 convolution, tanh."""
    for conv, act in ((parts.conv, "Relu"), (parts.mix, "Tanh")):
        assert isinstance(conv, nn.Conv2d)
        assert conv.bias is not None
        pads = [size // 2 for size in conv.kernel_size] * 2
        constants = build.floats(conv.weight), build.floats(conv.bias)
        x = build.add("Conv", x, *constants, group=conv.groups, pads=pads)
        x = build.add(act, x)
    return x


WHOLE: dict[type[nn.Module], Writer] = {
    ReX2d: _rex,  # type: ignore[dict-item]
    ReNet2d: write_renet,  # type: ignore[dict-item]
    MixedPool2d: _mixed,  # type: ignore[dict-item]
    GatedPool2d: _gated,  # type: ignore[dict-item]
    GFGP2d: _guided,  # type: ignore[dict-item]
    LiftDownPool2d: _lift_down,  # type: ignore[dict-item]
}
"""Writers by class; subclasses are written as what they come from."""
