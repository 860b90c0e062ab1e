"""From ATen operators to plain ones."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

from exeunt.errors import ExeuntError
from exeunt.graph.capture import Captured
from exeunt.graph.graph import Node
from exeunt.graph.operators import (
    Activation,
    Add,
    Affine,
    Composite,
    Concat,
    Conv,
    Flatten,
    GlobalAverage,
    GridPool,
    Linear,
    Mix,
    Opaque,
    Operator,
    Pad,
    Pair,
    Pool,
    Resize,
    Shape,
    Slice,
)
from exeunt.ops.macs import macs_of

aten = torch.ops.aten

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
"""Modules that are no blocks, for all that they hold some; subclasses of them are."""


@dataclass
class Lowered:
    """The nodes of a stage as they come out, before anything is folded.

    Attributes:
        nodes: in order.
        shapes: of their outputs.
        names: of tensors, by the name of the ATen node that gives them.
    """

    nodes: list[Node] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """One ATen call: `inputs` are tensors that were computed, `constants` those that are stored."""

    node: fx.Node
    inputs: list[fx.Node]
    constants: dict[int, Tensor]
    captured: Captured

    def argument(self, position: int, name: str, default: Any) -> Any:
        if position < len(self.node.args):
            return self.node.args[position]
        return self.node.kwargs.get(name, default)

    @property
    def shape(self) -> Shape:
        """Of the first input, without the batch."""
        return _shape(self.inputs[0])


LoweredOperator = tuple[Operator, dict[str, Tensor]]


def lower(
    captured: Captured, taken: list[str], path: str, *, opaque: bool = False
) -> tuple[Lowered, list[str]]:
    """Lowers a captured stage.

    Args:
        captured: the stage.
        taken: names of the tensors of its state, as they come in.
        path: of the stage in the net.
        opaque: let an operator from tensors to one tensor that has no plain form stand as `Opaque`.

    Returns:
        Its nodes, and the names of what it returns: logits, then the state.

    Raises:
        ExeuntError: for an operator that has no plain form here, naming its module and shapes and
            what there is.
    """
    lowered = Lowered()
    arriving = iter(taken)
    returned: list[str] = []
    for node in captured.program.graph.nodes:
        if node.op == "placeholder":
            if captured.constant(node.name) is None:
                lowered.names[node.name] = next(arriving)
        elif node.op == "call_function" and node.users:
            _lower_call(node, captured, lowered, path, opaque)
        elif node.op == "output":
            returned = [lowered.names[out.name] for out in node.args[0]]
    return lowered, returned


def _lower_call(
    node: fx.Node, captured: Captured, lowered: Lowered, path: str, opaque: bool
) -> None:
    arguments = [*_tensors(node.args), *_tensors(node.kwargs.values())]
    stored = {i: captured.constant(a.name) for i, a in enumerate(arguments)}
    constants = {i: t.float() for i, t in stored.items() if t is not None}
    inputs = [a for i, a in enumerate(arguments) if i not in constants]
    call = Call(node, inputs, constants, captured)
    if node.target in SAME and SAME[node.target](call):
        lowered.names[node.name] = lowered.names[inputs[0].name]
        return
    make = OPERATORS.get(node.target)
    made = None if make is None else make(call)
    if made is None and opaque and inputs and all(map(_is_batch, [node, *inputs])):
        made = Opaque(str(node.target), _cost(node)), {}
    module = _module(node, path)
    if made is None:
        shapes = ", ".join("x".join(map(str, _shape(i))) for i in inputs)
        known = sorted({str(target).removesuffix(".default") for target in OPERATORS})
        raise ExeuntError(
            f"{module}: no plain operator for {node.target} of {shapes or 'nothing'} with "
            f"{_settings(node)}; there are {', '.join(known)}"
        )
    done, weights = made
    name = f"{path}.{node.name}"
    block, kind = _block(node, captured, path)
    read = tuple(lowered.names[i.name] for i in inputs)
    lowered.nodes.append(Node(done, read, name, module, block, kind, weights))
    lowered.shapes[name] = _shape(node)
    lowered.names[node.name] = name


def _tensors(values: Any) -> Iterator[fx.Node]:
    for value in values:
        if isinstance(value, fx.Node):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


def _shape(node: fx.Node) -> Shape:
    """Without the batch; of what gives several tensors, the first."""
    value = node.meta["val"]
    first = value[0] if isinstance(value, (tuple, list)) else value
    return tuple(int(n) for n in first.shape[1:])


def _is_batch(node: fx.Node) -> bool:
    """Whether a node gives one tensor of one image, and not several, or a number."""
    value = node.meta["val"]
    return isinstance(value, Tensor) and value.dim() > 1 and value.shape[0] == 1


def _cost(node: fx.Node) -> int | None:
    """Multiply-adds of a call, counted on tensors that have shapes and no numbers."""
    args, kwargs = fx.map_arg((node.args, node.kwargs), lambda given: given.meta["val"])
    with torch.no_grad():
        return macs_of(node.target, *args, **kwargs)


def _settings(node: fx.Node) -> str:
    plain = [a for a in node.args if not isinstance(a, (fx.Node, list))]
    return f"{[*plain, *(a for a in node.args if isinstance(a, list))]} {node.kwargs or ''}".strip()


def _module(node: fx.Node, path: str) -> str:
    stack = [name for name, _ in node.meta.get("nn_module_stack", {}).values() if name]
    return f"{path}.{stack[-1]}" if stack else path


def _block(node: fx.Node, captured: Captured, path: str) -> tuple[str, str]:
    """The outermost module around a node that is no mere container, and its class."""
    stack = [name for name, _ in node.meta.get("nn_module_stack", {}).values() if name]
    for name in stack:
        kind = captured.classes[name]
        if name != "trunk" and kind not in CONTAINERS:
            return f"{path}.{name}", kind.__name__
    return path, "Stage"


def _conv(call: Call) -> LoweredOperator:
    weight, bias = call.constants[1], call.constants.get(2)
    kernel = (weight.shape[2], weight.shape[3])
    padding = call.argument(4, "padding", 0)
    dilation = _pair(call.argument(5, "dilation", 1))
    if isinstance(padding, str):
        same = [d * (k - 1) // 2 for d, k in zip(dilation, kernel, strict=True)]
        padding = same if padding == "same" else 0
    conv = Conv(
        kernel,
        _pair(call.argument(3, "stride", 1)),
        _pair(padding),
        dilation,
        call.argument(6, "groups", 1),
    )
    return conv, {"weight": weight} | ({} if bias is None else {"bias": bias})


def _linear(call: Call) -> LoweredOperator:
    bias = call.constants.get(2)
    return Linear(), {"weight": call.constants[1]} | ({} if bias is None else {"bias": bias})


def _norm(call: Call) -> LoweredOperator | None:
    if call.argument(5, "training", False):
        return None
    variance, mean = call.constants[4], call.constants[3]
    deviation = torch.sqrt(variance + call.argument(7, "eps", 1e-5))
    scale = call.constants.get(1, torch.ones_like(mean)) / deviation
    shift = call.constants.get(2, torch.zeros_like(mean)) - mean * scale
    return Affine(), {"scale": scale, "shift": shift}


def _add(call: Call) -> LoweredOperator | None:
    same = len(call.inputs) == 2 and _shape(call.inputs[0]) == _shape(call.inputs[1])
    return (Add(), {}) if same and call.argument(2, "alpha", 1) == 1 else None


def _cat(call: Call) -> LoweredOperator | None:
    return (Concat(), {}) if call.argument(1, "dim", 0) == 1 and not call.constants else None


def _slice(call: Call) -> LoweredOperator | None:
    axis = call.argument(1, "dim", 0) - 1
    if axis < 0:
        return None
    length = call.shape[axis]
    start, stop = call.argument(2, "start", 0) or 0, call.argument(3, "end", length)
    stop = length if stop is None else min(stop, length)
    start, stop = start % length if start < 0 else start, stop % length if stop < 0 else stop
    return Slice(axis, start, stop, call.argument(4, "step", 1)), {}


def _pad(call: Call) -> LoweredOperator | None:
    pads = call.argument(1, "pad", [])
    mode, value = call.argument(2, "mode", "constant"), call.argument(3, "value", 0)
    if mode not in ("constant", 0, 0.0) or value not in (None, 0) or len(pads) > 6:
        return None
    pairs = [(pads[i], pads[i + 1]) for i in range(0, len(pads), 2)]
    pairs += [(0, 0)] * (3 - len(pairs))
    before, after = zip(*reversed(pairs), strict=True)
    return (Pad(before, after), {}) if min(*before, *after) >= 0 else None


def _max_pool(call: Call) -> LoweredOperator | None:
    kernel = _pair(call.argument(1, "kernel_size", 1))
    if _pair(call.argument(4, "dilation", 1)) != (1, 1):
        return None
    stride = _pair(call.argument(2, "stride", None) or kernel)
    padding = _pair(call.argument(3, "padding", 0))
    return Pool("max", kernel, stride, padding, call.argument(5, "ceil_mode", False)), {}


def _average_pool(call: Call) -> LoweredOperator | None:
    kernel = _pair(call.argument(1, "kernel_size", 1))
    if call.argument(6, "divisor_override", None) is not None:
        return None
    stride = _pair(call.argument(2, "stride", None) or kernel)
    padding = _pair(call.argument(3, "padding", 0))
    ceil = call.argument(4, "ceil_mode", False)
    counted = call.argument(5, "count_include_pad", True)
    return Pool("average", kernel, stride, padding, ceil, counted), {}


def _grid_pool(of: str) -> Callable[[Call], LoweredOperator]:
    def make(call: Call) -> LoweredOperator:
        return GridPool(of, _pair(call.argument(1, "output_size", 1))), {}  # type: ignore[arg-type]

    return make


def _mean(call: Call) -> LoweredOperator | None:
    axes = {axis % (len(call.shape) + 1) for axis in call.argument(1, "dim", None) or ()}
    kept = call.argument(2, "keepdim", False)
    if axes != {2, 3} or len(call.shape) != 3:
        return None
    return (GridPool("average", (1, 1)) if kept else GlobalAverage()), {}


def _resize(call: Call) -> LoweredOperator | None:
    return Resize(_shape(call.node)[1:], call.argument(2, "align_corners", False)), {}  # type: ignore[arg-type]


def _lerp(call: Call) -> LoweredOperator | None:
    share = call.constants.get(2)
    return None if share is None or share.numel() != 1 else (Mix(), {"share": share})


def _flatten(call: Call) -> LoweredOperator | None:
    flat = len(_shape(call.node)) == 1 and len(call.shape) == 3
    return (Flatten(), {}) if flat else None


def _composite(call: Call) -> LoweredOperator:
    module = call.captured.whole[call.node.args[1]]  # type: ignore[index]
    weights = {name: tensor.detach() for name, tensor in module.state_dict().items()}
    return Composite(type(module).__name__, module), weights


def _activation(name: str) -> Callable[[Call], LoweredOperator]:
    def make(call: Call) -> LoweredOperator:
        return Activation(name), {}

    return make


def _hardtanh(call: Call) -> LoweredOperator | None:
    bounds = call.argument(1, "min_val", -1.0), call.argument(2, "max_val", 1.0)
    return (Activation("relu6"), {}) if bounds == (0.0, 6.0) else None


def _pair(value: Any) -> Pair:
    if isinstance(value, int):
        return value, value
    return (value[0], value[0]) if len(value) == 1 else (value[0], value[1])


def _always(call: Call) -> bool:
    return True


def _keeps_shape(call: Call) -> bool:
    return _shape(call.node) == call.shape


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
}
"""Calls that give the tensor they get, and when."""

OPERATORS: dict[Any, Callable[[Call], LoweredOperator | None]] = {
    aten.conv2d.default: _conv,
    aten.conv2d.padding: _conv,
    aten.linear.default: _linear,
    aten.batch_norm.default: _norm,
    aten.add.Tensor: _add,
    aten.add_.Tensor: _add,
    aten.cat.default: _cat,
    aten.slice.Tensor: _slice,
    aten.pad.default: _pad,
    aten.constant_pad_nd.default: _pad,
    aten.max_pool2d.default: _max_pool,
    aten.avg_pool2d.default: _average_pool,
    aten.adaptive_avg_pool2d.default: _grid_pool("average"),
    aten.adaptive_max_pool2d.default: _grid_pool("max"),
    aten.mean.dim: _mean,
    aten.upsample_bilinear2d.vec: _resize,
    aten.lerp.Tensor: _lerp,
    aten.flatten.using_ints: _flatten,
    aten.view.default: _flatten,
    aten.reshape.default: _flatten,
    aten.relu.default: _activation("relu"),
    aten.relu_.default: _activation("relu"),
    aten.relu6.default: _activation("relu6"),
    aten.hardtanh.default: _hardtanh,
    aten.hardtanh_.default: _hardtanh,
    aten.sigmoid.default: _activation("sigmoid"),
    aten.tanh.default: _activation("tanh"),
    aten.silu.default: _activation("silu"),
    aten.silu_.default: _activation("silu"),
    aten.hardswish.default: _activation("hardswish"),
    aten.hardswish_.default: _activation("hardswish"),
    aten.hardsigmoid.default: _activation("hardsigmoid"),
    torch.ops.exeunt.whole.default: _composite,
}
"""Calls that have a plain form; what a function returns None for has none after all."""
