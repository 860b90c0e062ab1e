"""What the int8 kernels of the runtime are told about each node."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

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
from exeunt.export.c.maps_s8 import MAKERS as MAPS
from exeunt.export.c.maps_s8 import sum_fields
from exeunt.export.c.source import CSource
from exeunt.graph.boundary import original
from exeunt.graph.fuse import InvertedResidual, PreactivatedConv
from exeunt.graph.graph import Graph, Node
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
from exeunt.quantize.rex import IntegerCell, IntegerGRU, IntegerReX, Projection
from exeunt.quantize.scale import SPARE_BITS, Factor

GATHERED = 160  # numbers of a window that are copied together before they are multiplied
WORDS, BYTES = "EXN_WORDS int16_t", "EXN_WORDS int8_t"  # both begin at whole words


def kernel_of(
    node: Node, quantized: QuantizedGraph, plan: StreamedPlan, source: CSource, number: int
) -> Kernel:
    """Writes what the kernel of a (perhaps fused) node needs, and says how to call it.

    Raises:
        ExeuntError: for what no kernel does, naming the module.
    """
    node = original(node)  # what is made again has the integers that it had at first
    if isinstance(node.operator, (InvertedResidual, Composite)):
        check_whole(node, plan)
    if isinstance(node.operator, InvertedResidual):
        return _residual(node, node.operator, quantized, plan, source, number)
    operator = quantized.operators[node.output]
    if isinstance(node.operator, PreactivatedConv):
        inner, conv = _convolution(node.output, quantized)
        _, before = _convolution(inner.inputs[0], quantized)
        return _gathered(conv, before, source, number, node.module)
    if isinstance(node.operator, Conv | Affine):
        _, operator = _convolution(node.output, quantized)
        if isinstance(node.operator, Conv) and gathers(node, plan, operator):
            return _gathered(operator, None, source, number, node.module)
        if operator.groups > 1 or isinstance(node.operator, Affine):
            return _filtered(node, operator, plan, source, number)
    if isinstance(operator, IntegerLinear):
        operator = replace(operator, weight=flattened(node, plan, operator.weight))
    if isinstance(node.operator, OwnOperator):
        if not node.operator.reads_parts:
            check_whole(node, plan)
        own: Kernel | None = node.operator.kernel_s8(node, operator, plan.graph, source, number)
        if own is not None:
            return own
    make = _MAKERS.get(type(operator))
    if make is None:
        raise ExeuntError(f"{node.module}: no kernel for {node.operator.kind} in int8")
    return make(node, operator, quantized.graph, source, number)


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


def _rows(
    source: CSource, name: str, bias: Tensor, factor: Factor, fill: int = 4, groups: int = 1
) -> str:
    """Those of each group filled up to a multiple of 4, as packed weights are, or of 3."""
    every = zip(bias.tolist(), factor.multipliers, factor.shifts, strict=True)
    rows = [f"{{{b << SPARE_BITS}, {m}, {s}}}" for b, m, s in every]
    count = len(rows) // groups
    filled = [
        row
        for start in range(0, len(rows), count)
        for row in (*rows[start : start + count], *["{0, 0, 1}"] * (-count % fill))
    ]
    return source.array("exn_row", f"rows_{name}", filled)


def _flat(weight: Tensor) -> list[int]:
    found: list[int] = weight.flatten().tolist()
    return found


def packed(weight: Tensor) -> Tensor:
    """Rows of int8 weights (R, T, C), two in one, as the kernels read them.

    Rows a and b become 256 b + a. Of four rows come four weights of the first two, then four of
    the others, and so on; of every four weights the third comes second. R and C are filled up to
    multiples of 4 and 8 with zeros.
    """
    weight = F.pad(weight, (0, -weight.shape[2] % 8, 0, 0, 0, -len(weight) % 4))
    runs, inputs = weight.shape[1:]
    first, second = weight.view(-1, 2, 2, runs, inputs // 4, 4).unbind(2)
    both = (256 * second + first)[..., [0, 2, 1, 3]]
    return both.permute(0, 2, 3, 1, 4)


def in_fours(taps: Tensor) -> Tensor:
    """Weights of a depthwise filter (C, T), as the kernels read them (C / 4, 4 T).

    Of four channels come those of two taps, channel after channel, and so on; those of an odd tap
    come last. Zeros make C a multiple of 4.
    """
    fours = F.pad(taps, (0, 0, 0, -len(taps) % 4)).view(-1, 4, taps.shape[1])
    pairs, odd = torch.split(fours, [taps.shape[1] // 2 * 2, taps.shape[1] % 2], dim=2)
    pairs = pairs.reshape(len(fours), 4, taps.shape[1] // 2, 2).transpose(1, 2)
    return torch.cat([pairs.flatten(1), odd.flatten(1)], 1)


def in_threes(weight: Tensor) -> Tensor:
    """Rows of weights over 16-bit numbers (R, T, C), as the kernels read them.

    Of three rows come eight weights each, and so on. R and C are filled up to multiples of 3 and 8
    with zeros.
    """
    weight = F.pad(weight, (0, -weight.shape[2] % 8, 0, 0, 0, -len(weight) % 3))
    runs, inputs = weight.shape[1:]
    return weight.view(-1, 3, runs, inputs // 8, 8).permute(0, 2, 3, 1, 4)


def _requantize(source: CSource, name: str, operator: Weighted, groups: int = 1) -> dict[str, Any]:
    table = "NULL"
    if operator.table is not None:
        table = source.array("int8_t", f"table_{name}", operator.table.tolist())
    return {
        "rows": _rows(source, name, operator.bias, operator.factor, groups=groups),
        "zero": operator.scale.zero,
        "low": operator.low,
        "high": operator.high,
        "table": table,
    }


def _blank(source: CSource, zero: int, channels: int) -> str:
    """A pixel beside the map."""
    return source.array(BYTES, f"blank_{zero % 256}_{channels}", [zero] * channels)


def _dense(
    operator: IntegerConv, source: CSource, name: str, where: str, *, gathered: bool = False
) -> dict[str, Any]:
    """Fields of `exn_conv_s8`; what is `gathered` is multiplied as one, whatever its size."""
    weight = operator.weight.permute(0, 2, 3, 1).flatten(1, 2)
    channels, blank, outputs = weight.shape[2], "NULL", len(weight) // operator.groups
    if gathered or weight[0].numel() <= GATHERED:
        weight = weight.flatten(1)[:, None]
    elif max(operator.padding) > 0:
        blank = _blank(source, operator.zero_in, channels)
    every = [packed(rows).flatten() for rows in torch.split(weight, outputs)]
    return {
        "weights": source.array(WORDS, f"weights_{name}", _flat(torch.cat(every))),
        "blank": blank,
        "requantize": _requantize(source, name, operator, operator.groups),
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
        weight += _flat(in_fours(part))
    return {
        "weights": source.array(WORDS, f"weights_{name}", weight),
        "blank": _blank(source, operator.zero_in, operator.groups),
        "requantize": _requantize(source, name, operator),
        "window": window,
    }


def _filtered(
    node: Node, operator: IntegerConv, plan: StreamedPlan, source: CSource, number: int
) -> Kernel:
    (parts,) = plan.reads(node)
    channels = [part.channels for part in parts]
    fields = _depthwise(operator, source, str(number), node.module, channels)
    return Kernel.of("exn_depthwise_s8", fields, source, number)


def _conv(node: Node, operator: IntegerConv, graph: Graph, source: CSource, number: int) -> Kernel:
    fields = _dense(operator, source, str(number), node.module)
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
            "weights": source.array("int8_t", f"weights_before_{number}", _flat(before.weight)),
            "requantize": _requantize(source, f"before_{number}", before),
        }
        fields["before"] = f"&{source.struct('exn_scale_s8', f'before_{number}', scale)}"
    fields |= gathered_fields(operator, operator.weight, where)
    return Kernel.of("exn_gathered_conv_s8", fields, source, number)


def _residual(
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
    fields["hidden"] = depthwise.groups
    fields["again"] = channels_at_once(node, plan.graph) if fused.recompute else 0
    return Kernel.of("exn_residual_s8", fields, source, number)


def _linear(
    node: Node, operator: IntegerLinear, graph: Graph, source: CSource, number: int
) -> Kernel:
    scores = {stage.logits for stage in graph.stages}
    weight = packed(operator.weight[:, None])
    fields = {
        "weights": source.array(WORDS, f"weights_{number}", _flat(weight)),
        "rows": _rows(source, str(number), operator.bias, operator.factor),
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
    return Kernel.of("exn_average_s8", fields, source, number, accumulates=True)


def _rex(node: Node, operator: IntegerReX, graph: Graph, source: CSource, number: int) -> Kernel:
    rex = operator.rex
    _, height, width = graph.shapes[node.inputs[0]]
    geometry = rex_fields(rex, height, width, node.module)
    kind = f"exn_{rex.cell}_s8"
    first = _cell(source, f"first_{number}", operator.first, wide=False)
    fields: dict[str, Any] = {"kind": f"&{kind}", "first": first}
    second = "NULL"
    if operator.second:
        cells = [
            _cell(source, f"second{way}_{number}", cell, wide=True)
            for way, cell in enumerate(operator.second)
        ]
        second = source.array("exn_cell_s8", f"second_{number}", map(_braced, cells))
    blank = _blank(source, operator.zero_in, rex.in_channels)
    fields |= {"second": second, "linear_weights": "NULL", "linear_rows": "NULL", "blank": blank}
    states = iter(operator.states)
    for part, used in (("row", rex.use_rows), ("column", rex.use_cols)):
        fields[f"{part}_rows"] = "NULL"
        if used:
            of = next(states)
            fields[f"{part}_rows"] = _rows(source, f"{part}_{number}", of.bias, of.factor, 1)
    fields |= {**geometry, "globals": 0}
    if operator.linear is not None:
        summaries = sum(rex.patch_size)
        fields |= _projection(source, "linear", str(number), operator.linear, summaries)
        fields["globals"] = len(operator.linear.bias)
    fields["zero"] = operator.scale.zero
    return Kernel.of("exn_rex_s8", fields, source, number, accumulates=True, parts=(kind,))


def _braced(fields: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f".{name} = {value}" for name, value in fields.items()) + "}"


def _projection(
    source: CSource, part: str, name: str, projection: Projection, runs: int = 1
) -> dict[str, str]:
    """Weights and rows over so many runs of 16-bit numbers."""
    weight = in_threes(projection.weight.view(len(projection.weight), runs, -1))
    return {
        f"{part}_weights": source.array(WORDS, f"weights_{part}_{name}", _flat(weight)),
        f"{part}_rows": _rows(source, f"{part}_{name}", projection.bias, projection.factor, 3),
    }


def _cell(source: CSource, name: str, cell: IntegerCell, *, wide: bool) -> dict[str, Any]:
    """Fields of `exn_cell_s8`: the gates of one unit come together; `wide` inputs are states."""
    units = cell.units
    order = torch.arange(cell.gates * units).view(cell.gates, units).t().flatten()
    inputs = _sorted(cell.inputs, order)
    fields: dict[str, Any] = {"hidden_weights": "NULL", "hidden_rows": "NULL"}
    if isinstance(cell, IntegerGRU):
        fields = _projection(source, "hidden", name, _sorted(cell.hidden, order))
    if wide:
        fields |= _projection(source, "input", name, inputs)
    else:
        weight = packed(inputs.weight[:, None])
        fields["input_weights"] = source.array(WORDS, f"weights_input_{name}", _flat(weight))
        fields["input_rows"] = _rows(source, f"input_{name}", inputs.bias, inputs.factor)
    return {**fields, "inputs": inputs.weight.shape[1], "hidden": units}


def _sorted(projection: Projection, order: Tensor) -> Projection:
    factor = Factor(
        tuple(projection.factor.multipliers[i] for i in order.tolist()),
        tuple(projection.factor.shifts[i] for i in order.tolist()),
    )
    return Projection(projection.weight[order], projection.bias[order], factor)


_MAKERS: dict[type, Callable[[Node, Any, Graph, CSource, int], Kernel]] = {
    IntegerAverage: _average,
    IntegerConv: _conv,
    IntegerLinear: _linear,
    IntegerReX: _rex,
    **MAPS,
}
