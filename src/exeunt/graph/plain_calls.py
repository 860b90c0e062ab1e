"""Calls that have a plain form, each with the function that finds it.

In-place forms of calls are found by themselves.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import torch
from torch import fx
from torch._ops import OpOverload

from exeunt.graph.call import Call, Made, by_channel, fits
from exeunt.graph.functions import FUNCTIONS
from exeunt.graph.operators import (
    Add,
    Affine,
    ChannelPool,
    Composite,
    Concat,
    Conv,
    GlobalAverage,
    GridPool,
    Linear,
    Lines,
    Mix,
    Multiply,
    Operator,
    Pad,
    Pair,
    Pool,
    Resize,
    SharpPool,
    Shuffle,
)

aten = torch.ops.aten

T = TypeVar("T")


def _conv(call: Call) -> Made:
    weight, bias = call.constants[1], call.constants.get(2)
    kernel = (weight.shape[2], weight.shape[3])
    padding = call.argument(4, "padding", 0)
    dilation, trail = _pair(call.argument(5, "dilation", 1)), None
    if isinstance(padding, str):
        same = padding == "same"
        down, across = (d * (k - 1) if same else 0 for d, k in zip(dilation, kernel, strict=True))
        padding = down // 2, across // 2
        if down % 2 or across % 2:
            trail = down - padding[0], across - padding[1]
    conv = Conv(
        kernel,
        _pair(call.argument(3, "stride", 1)),
        _pair(padding),
        dilation,
        call.argument(6, "groups", 1),
        trail,
    )
    return conv, {"weight": weight} | ({} if bias is None else {"bias": bias})


def conv_along(call: Call) -> Made:
    """A convolution along one axis as one of a map of one row."""
    weight, bias = call.constants[1].unsqueeze(2), call.constants.get(2)
    kernel, dilation = weight.shape[3], _pair(call.argument(5, "dilation", 1))[0]
    padding = call.argument(4, "padding", 0)
    both = dilation * (kernel - 1) if padding == "same" else 0
    before = both // 2 if isinstance(padding, str) else _pair(padding)[0]
    trail = (0, both - before) if both % 2 else None
    stride = _pair(call.argument(3, "stride", 1))[0]
    conv = Conv(
        (1, kernel), (1, stride), (0, before), (1, dilation), call.argument(6, "groups", 1), trail
    )
    return conv, {"weight": weight} | ({} if bias is None else {"bias": bias})


def _linear(call: Call) -> Made:
    bias = call.constants.get(2)
    return Linear(), {"weight": call.constants[1]} | ({} if bias is None else {"bias": bias})


def _norm(call: Call) -> Made | None:
    if call.argument(5, "training", False):
        return None
    variance, mean = call.constants[4], call.constants[3]
    deviation = torch.sqrt(variance + call.argument(7, "eps", 1e-5))
    scale = call.constants.get(1, torch.ones_like(mean)) / deviation
    shift = call.constants.get(2, torch.zeros_like(mean)) - mean * scale
    return Affine(), {"scale": scale, "shift": shift}


def _sum(sign: float) -> Callable[[Call], Made | None]:
    """`a + b`, or `a - b`, of tensors, constants and numbers."""

    def make(call: Call) -> Made | None:
        by = sign * call.argument(2, "alpha", 1)
        if len(call.inputs) == 2:
            return (Add(alpha=float(by)), {}) if fits(call) else None
        turned = 0 in call.constants  # the constant comes first
        other = by_channel(call, call.argument(1, "other", None))
        if other is None:
            return None
        scale = torch.ones_like(other)
        if turned:
            return Affine(), {"scale": by * scale, "shift": other}
        return Affine(), {"scale": scale, "shift": by * other}

    return make


def _turned_difference(call: Call) -> Made | None:
    """`number - x`."""
    other = by_channel(call, call.argument(1, "other", None))
    if other is None or call.argument(2, "alpha", 1) != 1:
        return None
    return Affine(), {"scale": -torch.ones_like(other), "shift": other}


def _negative(call: Call) -> Made | None:
    ones = by_channel(call, 1.0)
    return None if ones is None else (Affine(), {"scale": -ones, "shift": 0 * ones})


def _product(call: Call) -> Made | None:
    if len(call.inputs) == 2:
        return (Multiply(), {}) if fits(call) else None
    other = by_channel(call, call.argument(1, "other", None))
    return None if other is None else (Affine(), {"scale": other, "shift": 0 * other})


def _quotient(call: Call) -> Made | None:
    if 0 in call.constants or call.argument(2, "rounding_mode", None) is not None:
        return None
    other = by_channel(call, call.argument(1, "other", None))
    return None if other is None else (Affine(), {"scale": 1 / other, "shift": 0 * other})


def _cat(call: Call) -> Made | None:
    axis = call.argument(1, "dim", 0) % (len(call.shape) + 1)
    return (Concat(), {}) if axis == 1 and not call.constants else None


def _pad(call: Call) -> Made | None:
    pads = call.argument(1, "pad", [])
    mode, value = call.argument(2, "mode", "constant"), call.argument(3, "value", 0)
    if mode not in ("constant", 0, 0.0) or value not in (None, 0) or len(pads) > 6:
        return None
    pairs = [(pads[i], pads[i + 1]) for i in range(0, len(pads), 2)]
    pairs += [(0, 0)] * (3 - len(pairs))
    before, after = zip(*reversed(pairs), strict=True)
    return (Pad(before, after), {}) if min(*before, *after) >= 0 else None


def _max_pool(call: Call) -> Made | None:
    kernel = _pair(call.argument(1, "kernel_size", 1))
    if _pair(call.argument(4, "dilation", 1)) != (1, 1):
        return None
    stride = _pair(call.argument(2, "stride", None) or kernel)
    padding = _pair(call.argument(3, "padding", 0))
    return Pool("max", kernel, stride, padding, call.argument(5, "ceil_mode", False)), {}


def _average_pool(call: Call) -> Made | None:
    kernel = _pair(call.argument(1, "kernel_size", 1))
    if call.argument(6, "divisor_override", None) is not None:
        return None
    stride = _pair(call.argument(2, "stride", None) or kernel)
    padding = _pair(call.argument(3, "padding", 0))
    ceil = call.argument(4, "ceil_mode", False)
    counted = call.argument(5, "count_include_pad", True)
    return Pool("average", kernel, stride, padding, ceil, counted), {}


def _grid_pool(of: Literal["max", "average"]) -> Callable[[Call], Made]:
    def make(call: Call) -> Made:
        grid = _pair(call.argument(1, "output_size", 1))
        one = of == "average" and grid == (1, 1)
        return (GlobalAverage(keep=True) if one else GridPool(of, grid)), {}

    return make


POOLED: dict[Any, Literal["max", "average"]] = {
    aten.mean.dim: "average",
    aten.amax.default: "max",
    aten.max.dim: "max",
}
"""Calls that pool along axes; where the largest is, is not followed."""


def over_axes(call: Call, of: Literal["max", "average"]) -> Operator | None:
    """The maximum or the average of a map along some of its axes, each of which stays, of length 1;
    None where there is no such operator.
    """
    asked = call.argument(1, "dim", None)
    listed = [asked] if isinstance(asked, int) else asked or ()
    axes = tuple(sorted(axis % (len(call.shape) + 1) for axis in listed))
    if len(call.shape) != 3:
        return None
    if axes == (1,):
        return ChannelPool(of)
    if axes == (2, 3) and of == "average":
        return GlobalAverage(keep=True)
    _, height, width = call.shape
    grids = {(2,): (1, width), (3,): (height, 1), (2, 3): (1, 1)}
    return GridPool(of, grids[axes]) if axes in grids else None


def _over_axes(of: Literal["max", "average"]) -> Callable[[Call], Made | None]:
    def make(call: Call) -> Made | None:
        found = over_axes(call, of) if call.argument(2, "keepdim", False) else None
        return None if found is None else (found, {})

    return make


def _resize(call: Call) -> Made | None:
    return Resize(call.out[1:], call.argument(2, "align_corners", False)), {}  # type: ignore[arg-type]


def _lerp(call: Call) -> Made | None:
    share = call.constants.get(2)
    return None if share is None or share.numel() != 1 else (Mix(), {"share": share})


def _nearest(call: Call) -> Made:
    """Whatever rounding it does, it does to places too."""
    _, height, width = call.shape
    places = torch.arange(height * width, dtype=torch.float64).view(1, 1, height, width)
    found = call.node.target(places, *call.node.args[1:], **call.node.kwargs)[0, 0].long()  # type: ignore[operator]
    return Lines(tuple((found[:, 0] // width).tolist()), tuple((found[0] % width).tolist())), {}


def _whole(call: Call) -> Made:
    module = call.captured.whole[call.node.args[1]]  # type: ignore[index]
    weights = {name: tensor.detach() for name, tensor in module.state_dict().items()}
    return Composite(type(module).__name__, module), weights


def _index_select(call: Call) -> Made | None:
    """Lines or channels by their numbers, which are stored."""
    axis = call.argument(1, "dim", 0) % (len(call.shape) + 1) - 1
    if 1 not in call.constants or len(call.shape) != 3 or axis < 0:
        return None
    places = tuple(call.constants[1].long().tolist())
    if axis == 0:
        return Shuffle(places), {}
    every = [tuple(range(length)) for length in call.shape[1:]]
    every[axis - 1] = places
    return Lines(*every), {}


def _sharp_pool(call: Call) -> Made:
    return SharpPool(call.argument(2, "size", 1), call.argument(3, "stride", 1)), {}


def _pair(value: Any) -> Pair:
    if isinstance(value, int):
        return value, value
    return (value[0], value[0]) if len(value) == 1 else (value[0], value[1])


def _always(call: Call) -> bool:
    return True


def _keeps_shape(call: Call) -> bool:
    return call.out == call.shape


def _adds_nothing(call: Call) -> bool:
    """As `sum` of Python's does first of all."""
    number = call.argument(1, "other", None)
    plain = len(call.inputs) == 1 and not call.constants and isinstance(number, (int, float))
    return plain and number == 0


def is_spread(node: fx.Node) -> bool:
    """Whether a call expands its input for readers that would spread it themselves."""
    readers = {"mul", "mul_", "add", "add_", "sub", "sub_", "div", "div_"}
    expands = node.target in (aten.expand.default, aten.expand_as.default)
    return expands and all(
        isinstance(user.target, OpOverload) and user.target.overloadpacket.__name__ in readers
        for user in node.users
    )


def _spread_by_readers(call: Call) -> bool:
    return len(call.shape) == 3 and is_spread(call.node)


SAME: dict[Any, Callable[[Call], bool]] = {
    operator.getitem: lambda call: bool(call.node.args[1] == 0),
    aten.dropout.default: lambda call: not call.argument(2, "train", False),
    aten.contiguous.default: _always,
    aten.clone.default: _always,
    aten.alias.default: _always,
    aten.detach.default: _always,
    aten.view.default: _keeps_shape,
    aten.reshape.default: _keeps_shape,
    aten.slice.Tensor: _keeps_shape,
    aten.flatten.using_ints: _keeps_shape,
    aten.to.dtype: _always,
    aten.add.Tensor: _adds_nothing,
    aten.expand.default: _spread_by_readers,
    aten.expand_as.default: _spread_by_readers,
}
"""Calls that give the tensor they get, and when."""

OPERATORS: dict[Any, Callable[[Call], Made | None]] = {
    aten.conv2d.default: _conv,
    aten.conv2d.padding: _conv,
    aten.linear.default: _linear,
    aten.batch_norm.default: _norm,
    aten.add.Tensor: _sum(1),
    aten.sub.Tensor: _sum(-1),
    aten.rsub.Scalar: _turned_difference,
    aten.neg.default: _negative,
    aten.mul.Tensor: _product,
    aten.div.Tensor: _quotient,
    aten.cat.default: _cat,
    aten.pad.default: _pad,
    aten.constant_pad_nd.default: _pad,
    aten.max_pool2d.default: _max_pool,
    aten.avg_pool2d.default: _average_pool,
    aten.adaptive_avg_pool2d.default: _grid_pool("average"),
    aten.adaptive_max_pool2d.default: _grid_pool("max"),
    **{call: _over_axes(of) for call, of in POOLED.items()},
    aten.upsample_bilinear2d.vec: _resize,
    aten.upsample_nearest2d.vec: _nearest,
    aten._upsample_nearest_exact2d.vec: _nearest,
    aten.lerp.Tensor: _lerp,
    aten.index_select.default: _index_select,
    torch.ops.exeunt.sharp_pool.default: _sharp_pool,
    **FUNCTIONS,
    torch.ops.exeunt.whole.default: _whole,
}
"""Calls that have a plain form; what a function returns None for has none after all."""


def _in_place(target: Any) -> Any:
    """The call that does the same in place; None where there is none."""
    if target.namespace != "aten":
        return None
    packet = getattr(aten, f"{target.overloadpacket.__name__}_", None)
    return getattr(packet, target._overloadname, None)


def _with_in_place(table: dict[Any, T]) -> dict[Any, T]:
    there = {target: made for target, made in table.items() if target is not operator.getitem}
    also = {_in_place(target): made for target, made in there.items()}
    return table | {target: made for target, made in also.items() if target is not None}


OPERATORS = _with_in_place(OPERATORS)
SAME = _with_in_place(SAME)

REGISTERED: dict[Any, Callable[[Call], Made | None]] = {}
"""Calls whose plain form was registered (`exeunt.register_operator`); these come first."""
