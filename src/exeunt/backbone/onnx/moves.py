"""ONNX operators that move numbers, and that settle where."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exeunt.backbone.onnx.call import Function, Maker, OnnxCall, of_two, zeros


def _concat(call: OnnxCall) -> nn.Module:
    axis = call.get("axis", 1)
    joined: Callable[..., Tensor] = lambda *tensors: torch.cat(tensors, axis)  # noqa: E731
    return of_two(joined)(call)


def _split(call: OnnxCall) -> nn.Module:
    axis, sizes = call.get("axis", 0), call.numbers(1, "split")
    length = call.shape()[axis]
    if sizes is None:
        count = call.get("num_outputs", 0) or 2
        each = -(-length // count)
        sizes = [min(each, length - each * k) for k in range(count)]
    return Function(partial(torch.split, split_size_or_sections=sizes, dim=axis))


def _slice(call: OnnxCall) -> nn.Module:
    starts, ends = call.numbers(1, "starts"), call.numbers(2, "ends")
    assert starts is not None
    assert ends is not None
    axes, steps = call.numbers(3, "axes"), call.numbers(4, "steps")
    axes = [*range(len(starts))] if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    if steps == [-1] * len(starts) and {*starts} == {-1} and max(ends) < -(2**31):
        return Function(partial(torch.flip, dims=axes))
    if min(steps) < 1:
        raise call.refused("backwards")
    taken = [slice(None)] * len(call.shape())
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        taken[axis] = slice(start, None if end > 2**31 else end, step)
    return Function(lambda x: operator.getitem(x, tuple(taken)))


def _gather(call: OnnxCall) -> nn.Module:
    index, axis = call.constant(1), call.get("axis", 0)
    assert index is not None
    if index.dim() == 0:
        return Function(partial(torch.select, dim=axis, index=int(index)))
    if index.dim() > 1:
        raise call.refused("by an index of several dimensions")
    return Function(lambda x, at: torch.index_select(x, axis, at % x.shape[axis]), [(1, index)])


def _transpose(call: OnnxCall) -> nn.Module:
    order = call.get("perm", [*reversed(range(len(call.shape())))])
    return Function(partial(torch.permute, dims=order))


def _reshape(call: OnnxCall) -> nn.Module:
    target = call.numbers(1, "shape")
    assert target is not None
    if not call.get("allowzero", 0):
        target = [n or call.shape()[k] for k, n in enumerate(target)]
    tensor = call.inputs[0][1]
    assert tensor is not None
    try:
        shape = tensor.reshape(target).shape
    except RuntimeError as error:
        raise call.refused(f"to {target}") from error
    images = not call.inputs[0][2] and len(shape) > 0 and shape[0] == call.batch
    return Function(partial(torch.reshape, shape=(-1, *shape[1:]) if images else tuple(shape)))


def _flatten(call: OnnxCall) -> nn.Module:
    if call.get("axis", 1) != 1:
        raise call.refused("of other axes than all behind the first")
    return nn.Flatten(1)


def _squeeze(call: OnnxCall) -> nn.Module:
    axes, shape = call.numbers(1, "axes"), call.shape()
    axes = [k for k, n in enumerate(shape) if n == 1 and k] if axes is None else axes
    return Function(partial(torch.squeeze, dim=tuple(axes)))


def _unsqueeze(call: OnnxCall) -> nn.Module:
    axes = call.numbers(1, "axes")
    assert axes is not None
    rank = len(call.shape()) + len(axes)
    return Function(partial(_with_axes, axes=sorted(axis % rank for axis in axes)))


def _with_axes(x: Tensor, axes: Sequence[int]) -> Tensor:
    for axis in axes:
        x = x.unsqueeze(axis)
    return x


def _pad(call: OnnxCall) -> nn.Module:
    pads, value = call.numbers(1, "pads"), call.constant(2)
    number = call.get("value", 0.0) if value is None else float(value)
    axes, rank = call.numbers(3, "axes"), len(call.shape())
    axes = [*range(rank)] if axes is None else [axis % rank for axis in axes]
    if call.get("mode", "constant") != "constant" or number != 0 or pads is None:
        raise call.refused("with anything but zeros")
    before, after = [0] * rank, [0] * rank
    for k, axis in enumerate(axes):
        before[axis], after[axis] = pads[k], pads[k + len(axes)]
    return zeros(before, after)


def _resize(call: OnnxCall) -> nn.Module:
    scales, sizes = call.constant(1 if call.kind == "Upsample" else 2), call.numbers(3, "sizes")
    mode, shape = call.get("mode", "nearest"), call.shape()
    lines = call.get("coordinate_transformation_mode", "half_pixel")
    for place in (1, 2):  # a region of interest, and scales beside sizes, say nothing
        call.constant(place)
    if sizes is None:
        assert scales is not None
        sizes = [int(n * s) for n, s in zip(shape, scales.tolist(), strict=True)]
    if call.kind == "Upsample" or lines == "asymmetric":
        floor = call.kind == "Upsample" or call.get("nearest_mode", "") == "floor"
        ways = {"nearest": {"mode": "nearest"}} if floor else {}
    elif lines in ("half_pixel", "pytorch_half_pixel", "align_corners"):
        aligned = lines == "align_corners"
        ways = {"linear": {"mode": "bilinear", "align_corners": aligned}}
    else:
        ways = {}
    if len(shape) != 4 or mode not in ways or [*sizes[:2]] != [*shape[:2]]:
        raise call.refused(f"by {mode} interpolation, {lines}")
    settings: dict[str, Any] = ways[mode]
    return Function(partial(F.interpolate, size=tuple(sizes[2:]), **settings))


def _constant(call: OnnxCall) -> nn.Module:
    kinds = ("value", "value_float", "value_int", "value_floats", "value_ints")
    found = next((call.attributes[kind] for kind in kinds if kind in call.attributes), None)
    if found is None:
        raise call.refused("of such numbers")
    value = found if isinstance(found, Tensor) else torch.tensor(found)
    return Function(lambda: value)


def _filled(call: OnnxCall) -> nn.Module:
    value = call.get("value", torch.zeros(1))
    return Function(lambda shape: value.expand(shape.tolist()))


def _expand(call: OnnxCall) -> nn.Module:
    target, shape = call.numbers(1, "shape"), call.shape()
    assert target is not None
    sizes = [-1 if wanted in (1, have) else wanted for wanted, have in _aligned(target, shape)]
    return Function(lambda x: x.expand(sizes))


def _aligned(target: Sequence[int], shape: Sequence[int]) -> list[tuple[int, int]]:
    """Sizes of both, from the last on; what one has not is 1."""
    rank = max(len(target), len(shape))
    both = ([1] * (rank - len(sizes)) + [*sizes] for sizes in (target, shape))
    return [*zip(*both, strict=True)]


def _shape(call: OnnxCall) -> nn.Module:
    start, end = call.get("start", 0), call.get("end", None)
    return Function(lambda x: torch.tensor(x.shape)[start:end])


_FLOATS = (1, 10, 11)  # of 32, 16 and 64 bits
_KINDS = dict.fromkeys(_FLOATS, torch.float32) | {6: torch.int32, 7: torch.int64, 9: torch.bool}


def _cast(call: OnnxCall) -> nn.Module:
    to = call.get("to", 1)
    if to not in _KINDS or (not call.inputs[0][2] and to not in _FLOATS):
        raise call.refused("to other numbers than floats")
    return Function(lambda x: x.to(_KINDS[to]))


MOVES: dict[str, Maker] = {
    "Cast": _cast,
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _filled,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Pad": _pad,
    "Reshape": _reshape,
    "Resize": _resize,
    "Shape": _shape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Upsample": _resize,
}
"""How each becomes a module."""
