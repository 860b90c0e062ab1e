"""ONNX operators that compute.

What they mean is what onnx.ai states for opsets from 7 on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Any

import torch
from torch import Tensor, nn

from exeunt.backbone.onnx.call import Function, Maker, OnnxCall, of_two, zeros


def _conv(call: OnnxCall) -> nn.Module:
    weight, bias = call.constant(1), call.constant(2)
    assert weight is not None
    flat = weight.dim() == 3
    if weight.dim() not in (3, 4):
        raise call.refused(f"of {weight.dim() - 2} dimensions")
    rank = weight.dim() - 2
    strides, dilations = (call.get(name, [1] * rank) for name in ("strides", "dilations"))
    before, after = _pads(call, [*weight.shape[2:]], strides, dilations)
    kind: Any = nn.Conv1d if flat else nn.Conv2d
    groups = call.get("group", 1)
    even = before == after
    made = kind(
        weight.shape[1] * groups,
        weight.shape[0],
        tuple(weight.shape[2:]),
        tuple(strides),
        tuple(before) if even else 0,
        tuple(dilations),
        groups,
        bias is not None,
    )
    made.weight.copy_(weight)
    if bias is not None:
        made.bias.copy_(bias)
    return made if even else nn.Sequential(zeros(before, after), made)


def _pads(
    call: OnnxCall, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Lines before and after, by axis."""
    rank, auto = len(kernel), call.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        sizes = zip(call.shape()[2:], kernel, strides, dilations, strict=True)
        total = [max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0) for n, k, s, d in sizes]
        less, more = [n // 2 for n in total], [n - n // 2 for n in total]
        return (less, more) if auto == "SAME_UPPER" else (more, less)
    pads = call.get("pads", [0] * 2 * rank) if auto == "NOTSET" else [0] * 2 * rank
    return [*pads[:rank]], [*pads[rank:]]


def _pool(of: str) -> Maker:
    def make(call: OnnxCall) -> nn.Module:
        kernel = call.get("kernel_shape", [])
        if len(kernel) != 2:
            raise call.refused(f"of {len(kernel)} dimensions")
        strides = call.get("strides", [1, 1])
        dilations = call.get("dilations", [1, 1])
        before, after = _pads(call, kernel, strides, dilations)
        ceil = bool(call.get("ceil_mode", 0))
        common: tuple[Any, Any, Any] = tuple(kernel), tuple(strides), tuple(before)
        if of == "max" and before == after:
            return nn.MaxPool2d(*common, tuple(dilations), ceil_mode=ceil)
        counted = bool(call.get("count_include_pad", 0))
        if of == "max" or dilations != [1, 1] or (before != after and not counted):
            raise call.refused("with other padding on each side, or dilated")
        if before == after:
            return nn.AvgPool2d(*common, ceil, counted)
        plain = nn.AvgPool2d(tuple(kernel), tuple(strides), 0, ceil)
        return nn.Sequential(zeros(before, after), plain)

    return make


def _norm(call: OnnxCall) -> nn.Module:
    scale, shift, mean, variance = (call.constant(k) for k in range(1, 5))
    assert scale is not None
    assert shift is not None
    kinds = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}
    if len(call.shape()) not in kinds or call.get("training_mode", 0):
        raise call.refused("of such shapes, or in training")
    made = kinds[len(call.shape())](len(scale), call.get("epsilon", 1e-5))
    made.weight.copy_(scale)
    made.bias.copy_(shift)
    for own, theirs in ((made.running_mean, mean), (made.running_var, variance)):
        assert own is not None
        assert theirs is not None
        own.copy_(theirs)
    return made


def _gemm(call: OnnxCall) -> nn.Module:
    weight, bias = call.constant(1), call.constant(2)
    assert weight is not None
    if call.get("transA", 0) or (bias is not None and bias.numel() not in (1, weight.numel())):
        bias = None if bias is None else bias.squeeze(0)
    if call.get("transA", 0) or (bias is not None and bias.dim() > 1):
        raise call.refused("of a transposed input, or with a bias for each image")
    weight = weight if call.get("transB", 0) else weight.T
    return _linear(
        weight * call.get("alpha", 1.0), None if bias is None else bias * call.get("beta", 1.0)
    )


def _matmul(call: OnnxCall) -> nn.Module:
    weight = call.constant(1)
    if weight is None or weight.dim() != 2:
        raise call.refused("of several matrices")
    return _linear(weight.T, None)


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Module:
    made = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    made.weight.copy_(weight)
    if bias is not None:
        made.bias.copy_(bias.flatten().expand(len(weight)))
    return made


def _function(module: Callable[[], nn.Module]) -> Maker:
    def make(call: OnnxCall) -> nn.Module:
        return module()

    return make


def _clip(call: OnnxCall) -> nn.Module:
    ends = []
    for place, name in ((1, "min"), (2, "max")):
        found = call.constant(place)
        ends.append(call.get(name, None) if found is None else float(found))
    if ends == [0.0, 6.0]:
        return nn.ReLU6()
    return Function(partial(torch.clamp, min=ends[0], max=ends[1]))


def _hard_sigmoid(call: OnnxCall) -> nn.Module:
    alpha, beta = call.get("alpha", 0.2), call.get("beta", 0.5)
    if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:
        return nn.Hardsigmoid()
    return Function(lambda x: torch.clamp(alpha * x + beta, 0, 1))


def _prelu(call: OnnxCall) -> nn.Module:
    slope = call.constant(1)
    if slope is None or slope.numel() not in (1, call.shape()[1]):
        raise call.refused("with a slope for each place")
    made = nn.PReLU(slope.numel())
    made.weight.copy_(slope.flatten())
    return made


def _gelu(call: OnnxCall) -> nn.Module:
    return nn.GELU(call.get("approximate", "none"))


def _reduce(function: Callable[..., Tensor]) -> Maker:
    def make(call: OnnxCall) -> nn.Module:
        axes = call.numbers(1, "axes")
        axes = [*range(len(call.shape()))] if axes is None else axes
        return Function(partial(function, dim=axes, keepdim=bool(call.get("keepdims", 1))))

    return make


def _settled(kind: str) -> Maker:
    def make(call: OnnxCall) -> nn.Module:
        numbers = {"LeakyRelu": 0.01, "Elu": 1.0}
        alpha = call.get("alpha", numbers[kind])
        return nn.LeakyReLU(alpha) if kind == "LeakyRelu" else nn.ELU(alpha)

    return make


def _largest(*tensors: Tensor) -> Tensor:
    return reduce(torch.maximum, tensors)


def _smallest(*tensors: Tensor) -> Tensor:
    return reduce(torch.minimum, tensors)


def _divided(a: Tensor, b: Tensor) -> Tensor:
    if a.is_floating_point():
        return a / b
    return torch.div(a, b, rounding_mode="floor")


LAYERS: dict[str, Maker] = {
    "Add": of_two(torch.add),
    "AveragePool": _pool("average"),
    "BatchNormalization": _norm,
    "Ceil": _function(lambda: Function(torch.ceil)),
    "Clip": _clip,
    "Conv": _conv,
    "Div": of_two(_divided),
    "Dropout": _function(nn.Identity),
    "Elu": _settled("Elu"),
    "Erf": _function(lambda: Function(torch.erf)),
    "Floor": _function(lambda: Function(torch.floor)),
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": _function(lambda: nn.AdaptiveAvgPool2d(1)),
    "GlobalMaxPool": _function(lambda: nn.AdaptiveMaxPool2d(1)),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _function(nn.Hardswish),
    "Identity": _function(nn.Identity),
    "LeakyRelu": _settled("LeakyRelu"),
    "MatMul": _matmul,
    "Max": of_two(_largest),
    "MaxPool": _pool("max"),
    "Min": of_two(_smallest),
    "Mish": _function(nn.Mish),
    "Mul": of_two(torch.mul),
    "Neg": _function(lambda: Function(torch.neg)),
    "PRelu": _prelu,
    "ReduceMax": _reduce(torch.amax),
    "ReduceMean": _reduce(torch.mean),
    "ReduceSum": _reduce(torch.sum),
    "Relu": _function(nn.ReLU),
    "Sigmoid": _function(nn.Sigmoid),
    "Softplus": _function(nn.Softplus),
    "Sub": of_two(torch.sub),
    "Sum": of_two(lambda *tensors: sum(tensors)),
    "Tanh": _function(nn.Tanh),
}
"""How each becomes a module."""
