"""What the float kernels of the runtime are told about each node."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from exeunt.errors import ExeuntError
from exeunt.export.c.kernel import (
    Kernel,
    channels_at_once,
    check_whole,
    flattened,
    gathered_fields,
    gathers,
    rex_fields,
    window_fields,
)
from exeunt.export.c.maps_f32 import MAKERS as MAP_MAKERS
from exeunt.export.c.source import CSource, float_texts, initialiser
from exeunt.graph.fuse import InvertedResidual, PreactivatedConv, part_constants
from exeunt.graph.graph import Graph, Node
from exeunt.graph.operators import (
    Activated,
    Activation,
    Add,
    Affine,
    Composite,
    Conv,
    Linear,
    Mix,
    Multiply,
    Operator,
    ParametricReLU,
)
from exeunt.graph.own import OwnOperator
from exeunt.graph.pointwise import bounds, named
from exeunt.graph.streamed import StreamedPlan
from exeunt.ops.rex import ReX2d

FUNCTIONS = (
    *("clip", "sigmoid", "tanh", "silu", "gelu", "gelu_tanh", "hardswish", "hardsigmoid"),
    *("leaky_relu", "elu", "mish", "softplus"),
)
"""Functions that the runtime has."""

FUNCTION_FILES = ("exn_functions_f32",)

_MOST = torch.finfo(torch.float32).max


def kernel_of(node: Node, plan: StreamedPlan, source: CSource, number: int) -> Kernel:
    """Writes what the kernel of a node of the fused graph needs, and says how to call it.

    Raises:
        ExeuntError: for what no kernel does, or weights that are not finite, naming the module.
    """
    kernel = _kernel(node, plan, source, number)
    return replace(kernel, parts=FUNCTION_FILES) if _ends_in_function(node.operator) else kernel


def _ends_in_function(operator: Operator) -> bool:
    """Whether it, or one that is fused in it, ends in a function that does more than limit."""
    inside = (getattr(operator, part.name) for part in dataclasses.fields(operator))
    act = getattr(operator, "act", None)
    return bounds(act) is None or any(
        _ends_in_function(part) for part in inside if isinstance(part, Activated)
    )


def _kernel(node: Node, plan: StreamedPlan, source: CSource, number: int) -> Kernel:
    operator, graph = node.operator, plan.graph
    if isinstance(operator, (InvertedResidual, Composite)):
        check_whole(node, plan)
    if isinstance(operator, PreactivatedConv):
        scales, weights = (part_constants(node.constants, name) for name in ("affine", "conv"))
        before = (operator.affine, scales)
        return gathering(node, operator.conv, weights, source, number, before)
    if type(operator) is Conv and gathers(node, plan, operator):
        return gathering(node, operator, node.constants, source, number)
    if isinstance(operator, Affine) or (type(operator) is Conv and operator.groups > 1):
        return _filtered(node, plan, source, number)
    if isinstance(operator, Linear):
        weight = flattened(node, plan, node.constants["weight"])
        node = replace(node, constants={**node.constants, "weight": weight})
    if isinstance(operator, OwnOperator):
        if not operator.reads_parts:
            check_whole(node, plan)
        own: Kernel | None = operator.kernel_f32(node, graph, source, number)
        if own is not None:
            return own
    make = _MAKERS.get(type(operator))
    if isinstance(node.operator, Composite) and isinstance(node.operator.module, ReX2d):
        make = _rex
    if make is None:
        raise ExeuntError(f"{node.module}: no kernel for {node.operator.kind} in float32")
    return make(node, node.operator, graph, source, number)


def _array(source: CSource, name: str, values: Tensor, where: str) -> str:
    if not bool(values.isfinite().all()):
        raise ExeuntError(f"{where}: its weights are not finite")
    return source.array("float", name, float_texts(values.flatten().tolist()))


def _weighted(
    source: CSource, name: str, weight: Tensor, bias: Tensor, act: str | None, where: str
) -> dict[str, Any]:
    """Fields of whatever multiplies, adds and cuts off."""
    return {
        "weights": _array(source, f"weights_{name}", weight, where),
        "biases": _array(source, f"biases_{name}", bias, where),
        **_ending(source, act, where),
    }


def _ending(source: CSource, act: str | None, where: str) -> dict[str, str]:
    """Fields of limits, and of a function behind them."""
    ends = bounds(act)
    function = "NULL"
    if ends is None:
        assert act is not None
        function = f"&{_function(source, act, where)}"
    return {**_limits(None if ends is None else act, where), "function": function}


def _limits(act: str | None, where: str) -> dict[str, str]:
    ends = bounds(act)
    if ends is None:
        raise ExeuntError(f"{where}: no kernel with {act} in float32; functions stand apart there")
    low, high = float_texts(max(min(end, _MOST), -_MOST) for end in ends)
    return {"low": low, "high": high}


def _function(source: CSource, act: str, where: str) -> str:
    """A function of single numbers, by the name of its struct."""
    ends = bounds(act)
    name, numbers = named(act) if ends is None else ("clip", [*ends])
    if name not in FUNCTIONS:
        raise ExeuntError(f"{where}: no kernel for {act} in float32; {', '.join(FUNCTIONS)}")
    a, b = float_texts(max(min(n, _MOST), -_MOST) for n in [*numbers, 0.0, 0.0][:2])
    fields = {"apply": f"exn_{name}_f32", "a": a, "b": b}
    return source.struct("exn_function_f32", f"function_{len(source.parts)}", fields)


def _filter(
    conv: Conv,
    constants: Mapping[str, Tensor],
    source: CSource,
    name: str,
    where: str,
    parts: Sequence[int] = (),
) -> dict[str, Any]:
    """Fields of `exn_conv_f32`, or of `exn_depthwise_f32`, which reads its channels in parts."""
    weight = constants["weight"]
    window = window_fields(conv, where)
    if not parts:
        groups = weight.reshape(conv.groups, -1, *weight.shape[1:])
        weight = groups.permute(0, 3, 4, 2, 1)
    else:
        runs = torch.split(weight[:, 0].flatten(1).t(), list(parts), dim=1)
        weight = torch.cat([run.flatten() for run in runs])
    bias = constants.get("bias")
    bias = weight.new_zeros(len(constants["weight"])) if bias is None else bias
    common = _weighted(source, name, weight, bias, conv.act, where)
    return {**common, "window": window}


def _conv(node: Node, conv: Conv, graph: Graph, source: CSource, number: int) -> Kernel:
    fields = _filter(conv, node.constants, source, str(number), node.module)
    return Kernel.of("exn_conv_f32", fields, source, number)


def _filtered(node: Node, plan: StreamedPlan, source: CSource, number: int) -> Kernel:
    """A depthwise convolution; factors and terms are one of a single pixel."""
    conv, constants = node.operator, node.constants
    if isinstance(conv, Affine):
        scale = constants["scale"]
        constants = {"weight": scale.view(-1, 1, 1, 1), "bias": constants["shift"]}
        conv = Conv((1, 1), groups=len(scale), act=conv.act)
    assert isinstance(conv, Conv)
    (parts,) = plan.reads(node)
    channels = [part.channels for part in parts]
    fields = _filter(conv, constants, source, str(number), node.module, channels)
    return Kernel.of("exn_depthwise_f32", fields, source, number)


def gathering(
    node: Node,
    conv: Conv,
    constants: Mapping[str, Tensor],
    source: CSource,
    number: int,
    before: tuple[Affine, Mapping[str, Tensor]] | None = None,
) -> Kernel:
    """The kernel of a convolution that is dilated or in groups, reads several tensors, or scales
    first.

    Args:
        node: that it is for.
        conv: what is convolved.
        constants: of the convolution.
        source: to define constants in.
        number: of the node.
        before: what is done to every pixel first, and its constants.

    Raises:
        ExeuntError: for a convolution that no kernel does.
    """
    scale = "NULL"
    if before is not None:
        affine, scales = before
        fields = _weighted(
            source, f"scale_{number}", scales["scale"], scales["shift"], affine.act, node.module
        )
        scale = f"&{source.struct('exn_scale_f32', f'scale_{number}', fields)}"
    plain = replace(conv, dilation=(1, 1))
    fields = {
        "conv": _filter(plain, constants, source, str(number), node.module),
        "before": scale,
        **gathered_fields(conv, constants["weight"], node.module),
    }
    return Kernel.of("exn_gathered_conv_f32", fields, source, number)


def _residual(
    node: Node, fused: InvertedResidual, graph: Graph, source: CSource, number: int
) -> Kernel:
    def part(name: str, conv: Conv) -> dict[str, Any]:
        constants = part_constants(node.constants, name)
        parts = [conv.groups] if conv.groups > 1 else []
        return _filter(conv, constants, source, f"{name}_{number}", node.module, parts)

    expand = "NULL"
    if fused.expand is not None:
        fields = part("expand", fused.expand)
        expand = f"&{source.struct('exn_conv_f32', f'expand_{number}', fields)}"
    fields = {
        "expand": expand,
        "depthwise": part("depthwise", fused.depthwise),
        "project": part("project", fused.project),
        "hidden": fused.depthwise.groups,
        "adds": int(fused.residual),
        "again": channels_at_once(node, graph) if fused.recompute else 0,
    }
    return Kernel.of("exn_residual_f32", fields, source, number)


def _linear(node: Node, linear: Linear, graph: Graph, source: CSource, number: int) -> Kernel:
    weight, bias = node.constants["weight"], node.constants.get("bias")
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    fields = {
        "weights": _array(source, f"weights_{number}", weight.t(), node.module),
        "biases": _array(source, f"biases_{number}", bias, node.module),
        **_limits(linear.act, node.module),
        "inputs": weight.shape[1],
    }
    return Kernel.of("exn_linear_f32", fields, source, number)


def _add(node: Node, add: Add, graph: Graph, source: CSource, number: int) -> Kernel:
    by_a, by_b = float_texts([1.0, add.alpha])
    fields = {"by_a": by_a, "by_b": by_b, **_limits(add.act, node.module)}
    return Kernel.of("exn_sum_f32", fields, source, number)


def _product(node: Node, product: Multiply, graph: Graph, source: CSource, number: int) -> Kernel:
    return Kernel.of("exn_product_f32", _limits(product.act, node.module), source, number)


def _slope(node: Node, relu: ParametricReLU, graph: Graph, source: CSource, number: int) -> Kernel:
    slopes = _array(source, f"slopes_{number}", node.constants["slope"], node.module)
    return Kernel.of("exn_slope_f32", {"slopes": slopes}, source, number)


def _mix(node: Node, mix: Mix, graph: Graph, source: CSource, number: int) -> Kernel:
    share = float(node.constants["share"])
    by_a, by_b = float_texts([1 - share, share])
    fields = {"by_a": by_a, "by_b": by_b, **_limits(None, node.module)}
    return Kernel.of("exn_sum_f32", fields, source, number)


def _activation(
    node: Node, activation: Activation, graph: Graph, source: CSource, number: int
) -> Kernel:
    spec = _function(source, activation.act, node.module)
    return Kernel("exn_activation_f32", False, f"&{spec}", FUNCTION_FILES)


def _rex(node: Node, whole: Composite, graph: Graph, source: CSource, number: int) -> Kernel:
    rex, where = whole.module, node.module
    assert isinstance(rex, ReX2d)
    if rex.cell not in _CELLS:
        *others, last = _CELLS
        raise ExeuntError(
            f"{where}: no kernel for ReX with {rex.cell}; {', '.join(others)} and {last} have one"
        )
    _, height, width = graph.shapes[node.inputs[0]]
    kind = f"exn_{rex.cell}_f32"
    fields = {"kind": f"&{kind}", **rex_fields(rex, height, width, where)}
    fields["first"] = _cell(rex, rex.rnn1, "l0", source, f"first_{number}", where)
    fields["second"] = "NULL"
    if rex.use_rows or rex.use_cols:
        ways = ("l0", "l0") if rex.shared_directions else ("l0", "l0_reverse")
        cells = [
            _cell(rex, rex.rnn2, ending, source, f"second{way}_{number}", where)
            for way, ending in enumerate(ways)
        ]
        fields["second"] = source.array("exn_cell_f32", f"second_{number}", map(initialiser, cells))
    fields |= {"linear_weights": "NULL", "linear_biases": "NULL", "globals": 0}
    if rex.use_global:
        weight, bias = rex.linear.weight.detach(), rex.linear.bias.detach()
        name = f"linear_{number}"
        fields["linear_weights"] = _array(source, f"weights_{name}", weight.t(), where)
        fields["linear_biases"] = _array(source, f"biases_{name}", bias, where)
        fields["globals"] = len(bias)
    for name in ("scale", "shift"):
        values = node.constants.get(f"norm.{name}")
        fields[f"{name}s"] = (
            "NULL" if values is None else _array(source, f"{name}s_{number}", values, where)
        )
    return Kernel.of("exn_rex_f32", fields, source, number, accumulates=True, parts=(kind,))


def _cell(
    rex: ReX2d, rnn: nn.Module, ending: str, source: CSource, name: str, where: str
) -> dict[str, Any]:
    """Fields of `exn_cell_f32`."""
    own = {part: getattr(rnn, f"{part}_{ending}").detach() for part in _CELLS[rex.cell]}
    if rex.cell == "fastgrnn":  # its two biases are added in each step
        biases = own["bias_ih"]
        own["bias_hh"] = torch.cat([biases, own.pop("mix").sigmoid()])
        own["bias_ih"] = torch.zeros(len(biases) // 2)
    fields: dict[str, Any] = {}
    for kind, short in (("input", "ih"), ("hidden", "hh")):
        for said, part in (("weights", f"weight_{short}"), ("biases", f"bias_{short}")):
            fields[f"{kind}_{said}"] = "NULL"
            if part in own:
                values = own[part].t()
                fields[f"{kind}_{said}"] = _array(source, f"{kind}_{said}_{name}", values, where)
    return {**fields, "inputs": rnn.input_size, "hidden": rnn.hidden_size}


_CELLS = {
    "gru": ("weight_ih", "bias_ih", "weight_hh", "bias_hh"),
    "mingru": ("weight_ih", "bias_ih"),
    "fastgrnn": ("weight_ih", "bias_ih", "weight_hh", "mix"),
}
"""What a cell of each kind has."""

_MAKERS: dict[type, Callable[[Node, Any, Graph, CSource, int], Kernel]] = {
    **MAP_MAKERS,
    Activation: _activation,
    Add: _add,
    Conv: _conv,
    InvertedResidual: _residual,
    Linear: _linear,
    Mix: _mix,
    Multiply: _product,
    ParametricReLU: _slope,
}
