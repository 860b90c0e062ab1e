"""Modules that stay whole in the graph, in ONNX operators: ReX, ReNet, and guided pooling."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from exeunt.export.onnx.builder import Builder
from exeunt.export.onnx.pools import write_sharp_pool
from exeunt.export.onnx.renet import write_renet
from exeunt.export.onnx.rex import write_rex
from exeunt.graph.operators import Shape, SharpPool
from exeunt.ops.pooling import GFGP2d
from exeunt.ops.renet import ReNet2d
from exeunt.ops.rex import ReX2d

Writer = Callable[[Builder, nn.Module, str, Shape, str, Shape], object]
"""Adds a module: what is read, its shape, what the output is called, its shape."""


def _rex(build: Builder, layer: ReX2d, x: str, shape: Shape, to: str, out: Shape) -> None:
    write_rex(build, layer, x, shape, to)


def _guided(build: Builder, pool: GFGP2d, x: str, shape: Shape, to: str, out: Shape) -> None:
    sharpness = build.add("GlobalAveragePool", x)
    guide = pool.guide
    for conv, norm in ((guide.reduce, guide.reduce_norm), (guide.expand, guide.expand_norm)):
        sharpness = build.add("Conv", sharpness, *_folded(build, conv, norm))
        if conv is guide.reduce:
            sharpness = build.add("Relu", sharpness)
    bound = {nn.Sigmoid: "Sigmoid", nn.Softplus: "Softplus"}[type(guide.bound)]
    sharpness = build.add(bound, sharpness)
    window = SharpPool(pool.kernel_size, pool.stride)
    write_sharp_pool(build, window, x, sharpness, shape, out, to)


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


WHOLE: dict[type[nn.Module], Writer] = {
    ReX2d: _rex,  # type: ignore[dict-item]
    ReNet2d: write_renet,  # type: ignore[dict-item]
    GFGP2d: _guided,  # type: ignore[dict-item]
}
"""Writers by class; subclasses are written as what they come from."""
