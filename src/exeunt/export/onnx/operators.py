"""Plain operators of the graph in ONNX, one function for each kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isinf, pi, sqrt
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
    Lines,
    Mix,
    Multiply,
    Operator,
    Pad,
    ParametricReLU,
    Pool,
    Resize,
    Shape,
    Shuffle,
    Slice,
    Unflatten,
)
from exeunt.graph.own import OwnOperator
from exeunt.graph.pointwise import bounds, named


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
    if isinstance(operator, OwnOperator) and operator.write_onnx(build, node, shapes, node.output):
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
    """Adds a function by name, perhaps with its numbers."""
    name, numbers = named(act)
    if act == "relu":
        build.add("Relu", x, to=to)
    elif ends := bounds(act):
        build.add("Clip", x, *("" if isinf(n) else build.floats(n) for n in ends), to=to)
    elif name == "silu":
        build.add("Mul", x, build.add("Sigmoid", x), to=to)
    elif name == "gelu":
        wide = build.add("Erf", build.add("Mul", x, build.floats(sqrt(0.5))))
        share = build.add("Add", wide, build.floats(1.0))
        build.add("Mul", build.add("Mul", x, build.floats(0.5)), share, to=to)
    elif name == "gelu_tanh":
        cube = build.add("Mul", build.add("Mul", x, x), build.floats(0.044715))
        inner = build.add("Mul", x, build.add("Add", cube, build.floats(1.0)))
        share = build.add("Sigmoid", build.add("Mul", inner, build.floats(sqrt(8 / pi))))
        build.add("Mul", x, share, to=to)
    else:
        kind, settings = _FUNCTIONS[name]
        build.add(kind, x, to=to, **settings, **dict(zip(("alpha",), numbers, strict=False)))


_FUNCTIONS: dict[str, tuple[str, dict[str, float]]] = {
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "hardswish": ("HardSwish", {}),
    "hardsigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "leaky_relu": ("LeakyRelu", {}),
    "elu": ("Elu", {}),
    "mish": ("Mish", {}),
}


def _conv(place: Place, conv: Conv, to: str) -> None:
    place.build.add(
        "Conv",
        *place.inputs(),
        to=to,
        kernel_shape=list(conv.kernel),
        strides=list(conv.stride),
        pads=[*conv.padding, *(conv.trail or conv.padding)],
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
    build, (first, second) = place.build, place.node.inputs
    if add.alpha not in (1, -1):
        second = build.add("Mul", second, build.floats(add.alpha))
    build.add("Sub" if add.alpha == -1 else "Add", first, second, to=to)


def _multiply(place: Place, product: Multiply, to: str) -> None:
    place.build.add("Mul", *place.node.inputs, to=to)


def _slope(place: Place, relu: ParametricReLU, to: str) -> None:
    spread = (-1,) + (1,) * (len(place.shape) - 1)
    slope = place.build.floats(place.constant("slope").reshape(spread))
    place.build.add("PRelu", place.x, slope, to=to)


def _shuffle(place: Place, shuffle: Shuffle, to: str) -> None:
    order = place.build.integers(shuffle.order)
    place.build.add("Gather", place.x, order, axis=1, to=to)


def _lines(place: Place, lines: Lines, to: str) -> None:
    """Nearest resizing where all lines are repeated as often; or else line by line."""
    build = place.build
    times = [
        len(of) // n for of, n in zip((lines.down, lines.across), place.shape[1:], strict=True)
    ]
    repeated = Lines(*(tuple(n for n in range(size) for _ in range(times[axis]))
                       for axis, size in enumerate(place.shape[1:])))  # fmt: skip
    if lines == repeated:
        build.add(
            *("Resize", place.x, "", build.floats(np.array([1.0, 1.0, *times]))),
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
            to=to,
        )
        return
    rows = build.add("Gather", place.x, build.integers(lines.down), axis=2)
    build.add("Gather", rows, build.integers(lines.across), axis=3, to=to)


def _unflatten(place: Place, unflatten: Unflatten, to: str) -> None:
    place.build.add("Unsqueeze", place.x, place.build.integers([2, 3]), to=to)


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
    place.build.add("ReduceMean", place.x, axes, keepdims=int(average.keep), to=to)


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
    Multiply: _multiply,
    ParametricReLU: _slope,
    Shuffle: _shuffle,
    Lines: _lines,
    Unflatten: _unflatten,
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
