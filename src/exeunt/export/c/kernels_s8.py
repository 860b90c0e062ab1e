"""What the int8 kernels of the runtime are told about each node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from exeunt.errors import ExeuntError
from exeunt.export.c.kernel import (
    Kernel,
    channels_at_once,
    check_whole,
    flattened,
    gathered_fields,
    gathers,
    window_fields,
)
from exeunt.export.c.maps_s8 import MAKERS as MAPS
from exeunt.export.c.maps_s8 import sum_fields
from exeunt.export.c.moves import moving
from exeunt.export.c.packed_s8 import (
    WORDS,
    blank,
    flat,
    in_fours,
    integer_rows,
    packed,
    requantized,
)
from exeunt.export.c.recurrent_s8 import MAKERS as RECURRENT
from exeunt.export.c.room import GATHERED, residual_room, window_room
from exeunt.export.c.source import CSource
from exeunt.graph.boundary import original
from exeunt.graph.fuse import InvertedResidual, PreactivatedConv
from exeunt.graph.graph import Graph, Node
from exeunt.graph.moves import Beside
from exeunt.graph.operators import Affine, Composite, Conv
from exeunt.graph.own import OwnOperator
from exeunt.graph.streamed import StreamedPlan
from exeunt.quantize.graph import QuantizedGraph
from exeunt.quantize.operators import (
    IntegerAverage,
    IntegerConv,
    IntegerLinear,
    IntegerLookup,
    IntegerSum,
    Weighted,
)


def kernel_of(
    node: Node, quantized: QuantizedGraph, plan: StreamedPlan, source: CSource, number: int
) -> Kernel:
    """Writes what the kernel of a (perhaps fused) node needs, and says how to call it.

    Raises:
        ExeuntError: for what no kernel does, naming the module.
    """
    planned, node = node, original(node)  # what is made again has the integers of the first time
    if isinstance(node.operator, (InvertedResidual, Composite)):
        check_whole(planned, plan)
    if isinstance(node.operator, InvertedResidual):
        return _residual(planned, node, node.operator, quantized, plan, source, number)
    if isinstance(node.operator, Beside):
        return moving(node, node.operator, source, number, 1, plan.graph.shapes[node.output][0])
    operator = quantized.operators[node.output]
    if isinstance(node.operator, PreactivatedConv):
        inner, conv = _convolution(node.output, quantized)
        _, before = _convolution(inner.inputs[0], quantized)
        return _gathered(conv, before, source, number, node.module)
    if isinstance(node.operator, Conv | Affine):
        _, operator = _convolution(node.output, quantized)
        if isinstance(node.operator, Conv):
            operator = _edged(operator, node.operator)
        if isinstance(node.operator, Conv) and gathers(planned, plan, operator):
            return _gathered(operator, None, source, number, node.module)
        if operator.groups > 1 or isinstance(node.operator, Affine):
            return _filtered(planned, operator, plan, source, number)
        return _conv(planned, operator, plan, source, number)
    if isinstance(operator, IntegerLinear):
        operator = replace(operator, weight=flattened(planned, plan, operator.weight))
    if isinstance(node.operator, OwnOperator):
        if not node.operator.reads_parts:
            check_whole(planned, plan)
        own: Kernel | None = node.operator.kernel_s8(node, operator, plan.graph, source, number)
        if own is not None:
            return own
    make = _MAKERS.get(type(operator))
    if make is None:
        raise ExeuntError(f"{node.module}: no kernel for {node.operator.kind} in int8")
    return make(node, operator, quantized.graph, source, number)


def _edged(operator: IntegerConv, conv: Conv) -> IntegerConv:
    """The integers of a convolution, with the padding of a node that makes some of its columns."""
    return replace(operator, padding=conv.padding, trail=conv.trail)


def _convolution(name: str, quantized: QuantizedGraph) -> tuple[Node, IntegerConv]:
    """The node that sums up the products of a tensor, and its integers, with the function that may
    be behind.
    """
    by_output = {node.output: node for node in quantized.graph.nodes}
    node, operator = by_output[name], quantized.operators[name]
    table = None
    if isinstance(operator, IntegerLookup):
        table, node = operator.table, by_output[node.inputs[0]]
        operator = quantized.operators[node.output]
    assert isinstance(operator, IntegerConv)
    return node, replace(operator, table=table)


def _requantize(
    source: CSource, name: str, operator: Weighted, parts: Sequence[int] = ()
) -> dict[str, Any]:
    table = "NULL"
    if operator.table is not None:
        table = source.array("int8_t", f"table_{name}", operator.table.tolist())
    return {
        **requantized(source, name, operator, parts),
        "zero": operator.scale.zero,
        "low": operator.low,
        "high": operator.high,
        "table": table,
    }


def _dense(
    operator: IntegerConv, source: CSource, name: str, where: str, *, gathered: bool = False
) -> dict[str, Any]:
    """Fields of `exn_conv_s8`; what is `gathered` is multiplied as one, whatever its size."""
    weight = operator.weight.permute(0, 2, 3, 1).flatten(1, 2)
    channels, beside, outputs = weight.shape[2], "NULL", len(weight) // operator.groups
    if gathered or weight[0].numel() <= GATHERED:
        weight = weight.flatten(1)[:, None]
    elif max(*operator.padding, *(operator.trail or ())) > 0:
        beside = blank(source, operator.zero_in, channels)
    every = [packed(rows).flatten() for rows in torch.split(weight, outputs)]
    return {
        "weights": source.array(WORDS, f"weights_{name}", flat(torch.cat(every))),
        "blank": beside,
        "room": "NULL",
        "requantize": _requantize(source, name, operator, [outputs] * operator.groups),
        "window": window_fields(operator, where),
        "zero": operator.zero_in,
    }


def _depthwise(
    operator: IntegerConv, source: CSource, name: str, where: str, parts: Sequence[int] = ()
) -> dict[str, Any]:
    """Fields of `exn_depthwise_s8`, which reads its channels in parts, if in more than one."""
    window = window_fields(operator, where)
    taps = operator.weight[:, 0].flatten(1)
    weight: list[int] = []
    for part in torch.split(taps, list(parts) or [operator.groups]):
        weight += flat(in_fours(part))
    return {
        "weights": source.array(WORDS, f"weights_{name}", weight),
        "blank": blank(source, operator.zero_in, operator.groups),
        "requantize": _requantize(source, name, operator, parts),
        "window": window,
    }


def _filtered(
    node: Node, operator: IntegerConv, plan: StreamedPlan, source: CSource, number: int
) -> Kernel:
    (parts,) = plan.reads(node)
    channels = [part.channels for part in parts]
    fields = _depthwise(operator, source, str(number), node.module, channels)
    return Kernel.of("exn_depthwise_s8", fields, source, number)


def _conv(
    node: Node, operator: IntegerConv, plan: StreamedPlan, source: CSource, number: int
) -> Kernel:
    fields = _dense(operator, source, str(number), node.module)
    fields["room"] = window_room(node, operator, plan, source, number)
    if fields["room"] != "NULL" and max(operator.padding) > 0:
        fields["blank"] = blank(source, operator.zero_in, operator.weight.shape[1])
    return Kernel.of("exn_conv_s8", fields, source, number)


def _gathered(
    operator: IntegerConv,
    before: IntegerConv | None,
    source: CSource,
    number: int,
    where: str,
) -> Kernel:
    """A convolution of several tensors, dilated, in groups, or of what `before` scales."""
    plain = replace(operator, dilation=(1, 1))
    conv = _dense(plain, source, str(number), where, gathered=True)
    fields: dict[str, Any] = {"conv": conv, "before": "NULL"}
    if before is not None:
        scale = {
            "weights": source.array("int8_t", f"weights_before_{number}", flat(before.weight)),
            "requantize": _requantize(source, f"before_{number}", before),
        }
        fields["before"] = f"&{source.struct('exn_scale_s8', f'before_{number}', scale)}"
    fields |= gathered_fields(operator, operator.weight, where)
    return Kernel.of("exn_gathered_conv_s8", fields, source, number)


def _residual(
    planned: Node,
    node: Node,
    fused: InvertedResidual,
    quantized: QuantizedGraph,
    plan: StreamedPlan,
    source: CSource,
    number: int,
) -> Kernel:
    last = next(n for n in quantized.graph.nodes if n.output == node.output)
    end = node.output
    if fused.residual:
        end = next(name for name in last.inputs if name != node.inputs[0])
    fields: dict[str, Any] = {"expand": "NULL"}
    at, project = _convolution(end, quantized)
    at, depthwise = _convolution(at.inputs[0], quantized)
    depthwise = _edged(depthwise, fused.depthwise)
    if fused.expand is not None:
        _, conv = _convolution(at.inputs[0], quantized)
        fields["expand"] = _dense(conv, source, f"expand_{number}", node.module)
    fields["depthwise"] = _depthwise(depthwise, source, f"depthwise_{number}", node.module)
    fields["project"] = _dense(project, source, f"project_{number}", node.module)
    if fused.expand is not None:
        expand = source.struct("exn_conv_s8", f"expand_{number}", fields["expand"])
        fields["expand"] = f"&{expand}"
    fields["sum"] = "NULL"
    if fused.residual:
        total = quantized.operators[last.output]
        assert isinstance(total, IntegerSum)
        swapped = last.inputs[0] != node.inputs[0]
        named = source.struct("exn_sum_s8", f"sum_{number}", sum_fields(total, swapped=swapped))
        fields["sum"] = f"&{named}"
    fields["room"] = residual_room(planned, fused, plan, source, number)
    fields["hidden"] = depthwise.groups
    fields["again"] = channels_at_once(planned, plan.graph) if fused.recompute else 0
    return Kernel.of("exn_residual_s8", fields, source, number)


def _linear(
    node: Node, operator: IntegerLinear, graph: Graph, source: CSource, number: int
) -> Kernel:
    scores = {stage.logits for stage in graph.stages}
    weight = packed(operator.weight[:, None])
    fields = {
        "weights": source.array(WORDS, f"weights_{number}", flat(weight)),
        "rows": integer_rows(source, str(number), operator.bias, operator.factor),
        "zero": operator.scale.zero,
        "low": operator.low,
        "high": operator.high,
        "inputs": operator.weight.shape[1],
        "wide": int(node.output in scores),
    }
    return Kernel.of("exn_linear_s8", fields, source, number)


def _average(
    node: Node, operator: IntegerAverage, graph: Graph, source: CSource, number: int
) -> Kernel:
    (multiplier,), (shift,) = operator.factor.multipliers, operator.factor.shifts
    fields = {
        "factor": {"multiplier": multiplier, "shift": shift},
        "zero_in": operator.zero_in,
        "zero_out": operator.scale.zero,
    }
    name = "exn_average_s8"
    spec = source.struct(name, f"spec_{number}", fields)
    if any(stage.logits == node.output for stage in graph.stages):
        return Kernel("exn_average_scores_s8", True, f"&{spec}", (name,))
    return Kernel(name, True, f"&{spec}")


_MAKERS: dict[type, Callable[[Node, Any, Graph, CSource, int], Kernel]] = {
    IntegerAverage: _average,
    IntegerLinear: _linear,
    **RECURRENT,
    **MAPS,
}
