"""Plain operators of the graph in ONNX, one function for each kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from exeunt.errors import ExeuntError
from exeunt.export.onnx.builder import Builder
from exeunt.export.onnx.pools import write_grid_pool, write_pool
from exeunt.export.onnx.whole import WHOLE
from exeunt.graph import Node, Whole
from exeunt.graph.operators import (
    Activated,
    Activation,
    Add,
    Affine,
    Concat,
    Conv,
    Flatten,
    GlobalAverage,
    GridPool,
    Linear,
    Mix,
    Operator,
    Pad,
    Pool,
    Resize,
    Shape,
    Slice,
)


@dataclass(frozen=True)
class Place:
    """Where a node stands: what it reads, what it writes, its weights."""

    build: Builder
    node: Node
    shapes: Mapping[str, Shape]

    @property
    def x(self) -> str:
        return self.node.inputs[0]

    @property
    def shape(self) -> Shape:
        """Of the first input."""
        return self.shapes[self.x]

    @property
    def out(self) -> Shape:
        return self.shapes[self.node.output]

    def constant(self, name: str) -> Tensor:
        return self.node.constants[name]

    def inputs(self) -> list[str]:
        """The first input, the weight, and the bias if there is one."""
        names = [name for name in ("weight", "bias") if name in self.node.constants]
        return [self.x, *(self.build.floats(self.constant(name)) for name in names)]


def write_node(build: Builder, node: Node, shapes: Mapping[str, Shape]) -> None:
    """Adds a node of the graph, its output keeping its name.

    Raises:
        ExeuntError: for an operator or module that has no ONNX form here, naming where it stands.
    """
    build.within(node.output)
    place = Place(build, node, shapes)
    operator = node.operator
    if isinstance(operator, Whole):
        _whole(place, operator)
        return
    writer = WRITERS.get(type(operator))
    if writer is None:
        known = ", ".join(kind.__name__ for kind in WRITERS)
        raise ExeuntError(
            f"{node.module}: {operator.kind} has no ONNX form here; there are {known}"
        )
    act = operator.act if isinstance(operator, Activated) else None
    if act is None:
        writer(place, operator, node.output)
    else:
        before = f"{node.output}/before"
        writer(place, operator, before)
        write_activation(build, act, before, node.output)


def write_activation(build: Builder, act: str, x: str, to: str) -> None:
    """Adds one of `ACTIVATIONS`."""
    if act == "relu6":
        build.add("Clip", x, build.floats(0.0), build.floats(6.0), to=to)
    elif act == "silu":
        build.add("Mul", x, build.add("Sigmoid", x), to=to)
    elif act == "hardsigmoid":
        build.add("HardSigmoid", x, alpha=1 / 6, beta=0.5, to=to)
    else:
        kind = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "hardswish": "HardSwish"}[act]
        build.add(kind, x, to=to)


def _conv(place: Place, conv: Conv, to: str) -> None:
    place.build.add(
        "Conv",
        *place.inputs(),
        to=to,
        kernel_shape=list(conv.kernel),
        strides=list(conv.stride),
        pads=[
            *conv.padding,
            *(p + more for p, more in zip(conv.padding, conv.beyond, strict=True)),
        ],
        dilations=list(conv.dilation),
        group=conv.groups,
    )


def _linear(place: Place, linear: Linear, to: str) -> None:
    build = place.build
    if len(place.shape) == 1:
        build.add("Gemm", *place.inputs(), transB=1, to=to)
        return
    weight = build.floats(place.constant("weight").T)
    if "bias" not in place.node.constants:
        build.add("MatMul", place.x, weight, to=to)
        return
    product = build.add("MatMul", place.x, weight)
    build.add("Add", product, build.floats(place.constant("bias")), to=to)


def _affine(place: Place, affine: Affine, to: str) -> None:
    spread = (-1,) + (1,) * (len(place.shape) - 1)
    scale, shift = (
        place.build.floats(place.constant(name).reshape(spread)) for name in ("scale", "shift")
    )
    place.build.add("Add", place.build.add("Mul", place.x, scale), shift, to=to)


def _add(place: Place, add: Add, to: str) -> None:
    place.build.add("Add", *place.node.inputs, to=to)


def _activation(place: Place, activation: Activation, to: str) -> None:
    write_activation(place.build, activation.act, place.x, to)


def _concat(place: Place, concat: Concat, to: str) -> None:
    place.build.add("Concat", *place.node.inputs, axis=1, to=to)


def _slice(place: Place, part: Slice, to: str) -> None:
    place.build.slice(place.x, part.axis + 1, part.start, part.stop, part.step, to=to)


def _pad(place: Place, pad: Pad, to: str) -> None:
    axes = list(range(1, len(place.shape) + 1))
    build = place.build
    rank = len(axes)
    pads = build.integers([*pad.before[-rank:], *pad.after[-rank:]])
    build.add("Pad", place.x, pads, "", build.integers(axes), to=to)


def _pool(place: Place, pool: Pool, to: str) -> None:
    write_pool(place.build, pool, place.x, place.shape, place.out, to)


def _grid_pool(place: Place, pool: GridPool, to: str) -> None:
    write_grid_pool(place.build, pool, place.x, place.shape, to)


def _global_average(place: Place, average: GlobalAverage, to: str) -> None:
    axes = place.build.integers([2, 3])
    place.build.add("ReduceMean", place.x, axes, keepdims=0, to=to)


def _resize(place: Place, resize: Resize, to: str) -> None:
    scales = [1.0, 1.0, *map(_scale, place.shape[1:], resize.size)]
    place.build.add(
        *("Resize", place.x, "", place.build.floats(np.array(scales))),
        mode="linear",
        coordinate_transformation_mode="align_corners" if resize.align_corners else "half_pixel",
        to=to,
    )


def _scale(before: int, after: int) -> float:
    """The factor that makes so many lines of so many, rounded down.

    Sizes would be simpler, but either fix the batch, or name axes, which onnxruntime 1.31 forgets
    when it moves a transposition of int8 maps past the operator.
    """
    scale = np.float32(after / before)
    while min(int(float(scale) * before), int(scale * np.float32(before))) < after:
        scale = np.nextafter(scale, np.float32(np.inf))
    return float(scale)


def _mix(place: Place, mix: Mix, to: str) -> None:
    build, (first, second) = place.build, place.node.inputs
    share = build.floats(place.constant("share").reshape(()))
    more = build.add("Mul", build.add("Sub", second, first), share)
    build.add("Add", first, more, to=to)


def _flatten(place: Place, flatten: Flatten, to: str) -> None:
    place.build.add("Flatten", place.x, axis=1, to=to)


def _whole(place: Place, whole: Whole) -> None:
    kind = next((kind for kind in WHOLE if isinstance(whole.module, kind)), None)
    if kind is None:
        known = ", ".join(known.__name__ for known in WHOLE)
        raise ExeuntError(
            f"{place.node.module}: {whole.name} has no ONNX form here; of the modules that stay "
            f"whole these do: {known}"
        )
    write = WHOLE[kind]
    write(place.build, whole.module, place.x, place.shape, place.node.output, place.out)


WRITERS: dict[type[Operator], Callable[[Place, Any, str], None]] = {
    Conv: _conv,
    Linear: _linear,
    Affine: _affine,
    Add: _add,
    Activation: _activation,
    Concat: _concat,
    Slice: _slice,
    Pad: _pad,
    Pool: _pool,
    GridPool: _grid_pool,
    GlobalAverage: _global_average,
    Resize: _resize,
    Mix: _mix,
    Flatten: _flatten,
}
