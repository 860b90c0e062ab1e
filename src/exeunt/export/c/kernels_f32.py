"""What the float kernels of the runtime are told about each node."""

from __future__ import annotations

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
    gathers,
    rex_fields,
    window_fields,
)
from exeunt.export.c.maps_f32 import MAKERS as MAP_MAKERS
from exeunt.export.c.source import CSource, float_texts, initialiser
from exeunt.graph.fuse import InvertedResidual, PreactivatedConv, part_constants
from exeunt.graph.graph import Graph, Node
from exeunt.graph.operators import Activation, Add, Affine, Composite, Conv, Linear, Mix
from exeunt.graph.streamed import StreamedPlan
from exeunt.ops.rex import ReX2d

MAX_DILATION = 255

_MOST = torch.finfo(torch.float32).max
_LIMITS = {None: (-_MOST, _MOST), "relu": (0.0, _MOST), "relu6": (0.0, 6.0)}


def kernel_of(node: Node, plan: StreamedPlan, source: CSource, number: int) -> Kernel:
    """Writes what the kernel of a node of the fused graph needs, and says how to call it.

    Raises:
        ExeuntError: for what no kernel does, or weights that are not finite, naming the module.
    """
    operator, graph = node.operator, plan.graph
    if isinstance(operator, (InvertedResidual, Composite)):
        check_whole(node, plan)
    if isinstance(operator, PreactivatedConv):
        scales, weights = (part_constants(node.constants, name) for name in ("affine", "conv"))
        before = (operator.affine, scales)
        return gathering(node, operator.conv, weights, source, number, before)
    if type(operator) is Conv and operator.groups == 1 and gathers(node, plan, operator):
        return gathering(node, operator, node.constants, source, number)
    if isinstance(operator, Affine) or (type(operator) is Conv and operator.groups > 1):
        return _filtered(node, plan, source, number)
    if isinstance(operator, Linear):
        weight = flattened(node, plan, node.constants["weight"])
        node = replace(node, constants={**node.constants, "weight": weight})
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
        **_limits(act, where),
    }


def _limits(act: str | None, where: str) -> dict[str, str]:
    if act not in _LIMITS:
        raise ExeuntError(f"{where}: no kernel with {act} in float32; relu and relu6 have one")
    low, high = float_texts(_LIMITS[act])
    return {"low": low, "high": high}


def _filter(
    conv: Conv,
    constants: Mapping[str, Tensor],
    source: CSource,
    name: str,
    where: str,
    parts: Sequence[int] = (),
) -> dict[str, Any]:
    """Fields of `exn_conv_f32`, or of `exn_depthwise_f32`, which may read its channels in parts."""
    weight = constants["weight"]
    window = window_fields(conv, weight, where)
    if conv.groups == 1:
        weight = weight.permute(2, 3, 1, 0)
    else:
        runs = torch.split(weight[:, 0].flatten(1).t(), list(parts) or [conv.groups], dim=1)
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
    """The kernel of a dense convolution that is dilated, reads several tensors, or scales first.

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
    if max(conv.dilation) > MAX_DILATION:
        raise ExeuntError(
            f"{node.module}: no kernel for a convolution with dilation {conv.dilation}; up to "
            f"{MAX_DILATION}"
        )
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
        "channels": constants["weight"].shape[1],
        "dilation_y": conv.dilation[0],
        "dilation_x": conv.dilation[1],
    }
    return Kernel.of("exn_gathered_conv_f32", fields, source, number)


def _residual(
    node: Node, fused: InvertedResidual, graph: Graph, source: CSource, number: int
) -> Kernel:
    def part(name: str, conv: Conv) -> dict[str, Any]:
        constants = part_constants(node.constants, name)
        return _filter(conv, constants, source, f"{name}_{number}", node.module)

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
    common = _weighted(source, str(number), weight.t(), bias, linear.act, node.module)
    fields = {**common, "inputs": weight.shape[1]}
    return Kernel.of("exn_linear_f32", fields, source, number)


def _add(node: Node, add: Add, graph: Graph, source: CSource, number: int) -> Kernel:
    fields = {"by_a": "1.f", "by_b": "1.f", **_limits(add.act, node.module)}
    return Kernel.of("exn_sum_f32", fields, source, number)


def _mix(node: Node, mix: Mix, graph: Graph, source: CSource, number: int) -> Kernel:
    share = float(node.constants["share"])
    by_a, by_b = float_texts([1 - share, share])
    fields = {"by_a": by_a, "by_b": by_b, **_limits(None, node.module)}
    return Kernel.of("exn_sum_f32", fields, source, number)


def _activation(
    node: Node, activation: Activation, graph: Graph, source: CSource, number: int
) -> Kernel:
    fields = {"function": f"EXN_{activation.act.upper()}"}
    return Kernel.of("exn_activation_f32", fields, source, number)


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
}
