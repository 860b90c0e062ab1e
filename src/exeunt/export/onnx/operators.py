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
from exeunt.export.onnx.composite import WHOLE
from exeunt.export.onnx.pools import write_grid_pool, write_pool, write_sharp_pool
from exeunt.graph import Composite, Node
from exeunt.graph.operators import (
    Activated,
    Activation,
    Add,
    Affine,
    ChannelPool,
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
    SharpPool,
    Shuffle,
    Slice,
    Unflatten,
)
from exeunt.graph.own import OwnOperator
from exeunt.graph.pointwise import bounds, named


@dataclass(frozen=True)
class NodeContext:
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
    context = NodeContext(build, node, shapes)
    operator = node.operator
    if isinstance(operator, Composite):
        _composite(context, operator)
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
        writer(context, operator, node.output)
    else:
        before = f"{node.output}/before"
        writer(context, operator, before)
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
    elif name == "softplus":
        _softplus(build, numbers, x, to)
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


def _softplus(build: Builder, numbers: list[float], x: str, to: str) -> None:
    beta, threshold = numbers
    steep = build.add("Mul", x, build.floats(beta))
    soft = build.add("Div", build.add("Softplus", steep), build.floats(beta))
    build.add("Where", build.add("Greater", steep, build.floats(threshold)), x, soft, to=to)


_FUNCTIONS: dict[str, tuple[str, dict[str, float]]] = {
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "hardswish": ("HardSwish", {}),
    "hardsigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "leaky_relu": ("LeakyRelu", {}),
    "elu": ("Elu", {}),
    "mish": ("Mish", {}),
}


def _conv(context: NodeContext, conv: Conv, to: str) -> None:
    context.build.add(
        "Conv",
        *context.inputs(),
        to=to,
        kernel_shape=list(conv.kernel),
        strides=list(conv.stride),
        pads=[*conv.padding, *(conv.trail or conv.padding)],
        dilations=list(conv.dilation),
        group=conv.groups,
    )


def _linear(context: NodeContext, linear: Linear, to: str) -> None:
    build = context.build
    if len(context.shape) == 1:
        build.add("Gemm", *context.inputs(), transB=1, to=to)
        return
    weight = build.floats(context.constant("weight").T)
    if "bias" not in context.node.constants:
        build.add("MatMul", context.x, weight, to=to)
        return
    product = build.add("MatMul", context.x, weight)
    build.add("Add", product, build.floats(context.constant("bias")), to=to)


def _affine(context: NodeContext, affine: Affine, to: str) -> None:
    spread = (-1,) + (1,) * (len(context.shape) - 1)
    scale, shift = (
        context.build.floats(context.constant(name).reshape(spread)) for name in ("scale", "shift")
    )
    context.build.add("Add", context.build.add("Mul", context.x, scale), shift, to=to)


def _add(context: NodeContext, add: Add, to: str) -> None:
    build, (first, second) = context.build, context.node.inputs
    if add.alpha not in (1, -1):
        second = build.add("Mul", second, build.floats(add.alpha))
    build.add("Sub" if add.alpha == -1 else "Add", first, second, to=to)


def _multiply(context: NodeContext, product: Multiply, to: str) -> None:
    context.build.add("Mul", *context.node.inputs, to=to)


def _slope(context: NodeContext, relu: ParametricReLU, to: str) -> None:
    spread = (-1,) + (1,) * (len(context.shape) - 1)
    slope = context.build.floats(context.constant("slope").reshape(spread))
    context.build.add("PRelu", context.x, slope, to=to)


def _shuffle(context: NodeContext, shuffle: Shuffle, to: str) -> None:
    order = context.build.integers(shuffle.order)
    context.build.add("Gather", context.x, order, axis=1, to=to)


def _lines(context: NodeContext, lines: Lines, to: str) -> None:
    """Nearest resizing where all lines are repeated as often; or else line by line."""
    build = context.build
    times = [
        len(of) // n for of, n in zip((lines.down, lines.across), context.shape[1:], strict=True)
    ]
    repeated = Lines(*(tuple(n for n in range(size) for _ in range(times[axis]))
                       for axis, size in enumerate(context.shape[1:])))  # fmt: skip
    if lines == repeated:
        build.add(
            *("Resize", context.x, "", build.floats(np.array([1.0, 1.0, *times]))),
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
            to=to,
        )
        return
    rows = build.add("Gather", context.x, build.integers(lines.down), axis=2)
    build.add("Gather", rows, build.integers(lines.across), axis=3, to=to)


def _unflatten(context: NodeContext, unflatten: Unflatten, to: str) -> None:
    if unflatten.size == (1, 1):
        context.build.add("Unsqueeze", context.x, context.build.integers([2, 3]), to=to)
    else:
        shape = context.build.integers([0, *context.out])
        context.build.add("Reshape", context.x, shape, to=to)


def _activation(context: NodeContext, activation: Activation, to: str) -> None:
    write_activation(context.build, activation.act, context.x, to)


def _concat(context: NodeContext, concat: Concat, to: str) -> None:
    context.build.add("Concat", *context.node.inputs, axis=1, to=to)


def _slice(context: NodeContext, part: Slice, to: str) -> None:
    context.build.slice(context.x, part.axis + 1, part.start, part.stop, part.step, to=to)


def _pad(context: NodeContext, pad: Pad, to: str) -> None:
    axes = list(range(1, len(context.shape) + 1))
    build = context.build
    rank = len(axes)
    pads = build.integers([*pad.before[-rank:], *pad.after[-rank:]])
    build.add("Pad", context.x, pads, "", build.integers(axes), to=to)


def _pool(context: NodeContext, pool: Pool, to: str) -> None:
    write_pool(context.build, pool, context.x, context.shape, context.out, to)


def _sharp_pool(context: NodeContext, pool: SharpPool, to: str) -> None:
    sharpness = context.node.inputs[1]
    write_sharp_pool(context.build, pool, context.x, sharpness, context.shape, context.out, to)


def _grid_pool(context: NodeContext, pool: GridPool, to: str) -> None:
    write_grid_pool(context.build, pool, context.x, context.shape, to)


def _channel_pool(context: NodeContext, pool: ChannelPool, to: str) -> None:
    kind, axes = "ReduceMax" if pool.of == "max" else "ReduceMean", context.build.integers([1])
    context.build.add(kind, context.x, axes, keepdims=1, to=to)


def _global_average(context: NodeContext, average: GlobalAverage, to: str) -> None:
    axes = context.build.integers([2, 3])
    context.build.add("ReduceMean", context.x, axes, keepdims=int(average.keep), to=to)


def _resize(context: NodeContext, resize: Resize, to: str) -> None:
    scales = [1.0, 1.0, *map(_scale, context.shape[1:], resize.size)]
    context.build.add(
        *("Resize", context.x, "", context.build.floats(np.array(scales))),
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


def _mix(context: NodeContext, mix: Mix, to: str) -> None:
    build, (first, second) = context.build, context.node.inputs
    share = build.floats(context.constant("share").reshape(()))
    more = build.add("Mul", build.add("Sub", second, first), share)
    build.add("Add", first, more, to=to)


def _flatten(context: NodeContext, flatten: Flatten, to: str) -> None:
    context.build.add("Flatten", context.x, axis=1, to=to)


def _composite(context: NodeContext, whole: Composite) -> None:
    kind = next((kind for kind in WHOLE if isinstance(whole.module, kind)), None)
    if kind is None:
        known = ", ".join(known.__name__ for known in WHOLE)
        raise ExeuntError(
            f"{context.node.module}: {whole.name} has no ONNX form here; of the modules that stay "
            f"whole these do: {known}"
        )
    write = WHOLE[kind]
    write(context.build, whole.module, context.x, context.shape, context.node.output, context.out)


WRITERS: dict[type[Operator], Callable[[NodeContext, Any, str], None]] = {
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
    SharpPool: _sharp_pool,
    GridPool: _grid_pool,
    ChannelPool: _channel_pool,
    GlobalAverage: _global_average,
    Resize: _resize,
    Mix: _mix,
    Flatten: _flatten,
}
