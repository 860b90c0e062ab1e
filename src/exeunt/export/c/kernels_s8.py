"""What the int8 kernels of the runtime are told about each node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from exeunt.errors import ExeuntError
from exeunt.export.c.kernel import (
    Kernel,
    check_residual,
    check_single,
    check_whole,
    flattened,
    gathers,
    rex_fields,
    window_fields,
)
from exeunt.export.c.maps_s8 import MAKERS as MAPS
from exeunt.export.c.maps_s8 import sum_fields
from exeunt.export.c.source import CSource
from exeunt.graph.fuse import InvertedResidual, PreactivatedConv
from exeunt.graph.graph import Graph, Node
from exeunt.graph.operators import Whole
from exeunt.graph.streamed import StreamedPlan
from exeunt.quantize.graph import QuantizedGraph
from exeunt.quantize.operators import (
    IntegerAverage,
    IntegerConv,
    IntegerLinear,
    IntegerSum,
    Weighted,
)
from exeunt.quantize.rex import IntegerCell, IntegerReX, Projection
from exeunt.quantize.scale import Factor


def kernel_of(
    node: Node, quantized: QuantizedGraph, plan: StreamedPlan, source: CSource, number: int
) -> Kernel:
    """Writes what the kernel of a (perhaps fused) node needs, and says how to call it.

    Raises:
        ExeuntError: for what no kernel does, naming the module.
    """
    if isinstance(node.operator, (InvertedResidual, Whole)):
        check_whole(node, plan)
    if isinstance(node.operator, InvertedResidual):
        return _residual(node, node.operator, quantized, source, number)
    operator = quantized.operators[node.output]
    if isinstance(operator, IntegerConv) and operator.groups == 1:
        if isinstance(node.operator, PreactivatedConv):
            (inner,) = (n for n in quantized.graph.nodes if n.output == node.output)
            before = quantized.operators[inner.inputs[0]]
            assert isinstance(before, IntegerConv)
            return _gathered(operator, before, source, number, node.module)
        if gathers(node, plan, operator):
            return _gathered(operator, None, source, number, node.module)
    if isinstance(operator, IntegerConv):
        check_single(node, plan)
    if isinstance(operator, IntegerLinear):
        operator = replace(operator, weight=flattened(node, plan, operator.weight))
    make = _MAKERS.get(type(operator))
    if make is None:
        raise ExeuntError(f"{node.module}: no kernel for {node.operator.kind} in int8")
    return make(node, operator, quantized.graph, source, number)


def _factors(source: CSource, name: str, factor: Factor) -> str:
    pairs = zip(factor.multipliers, factor.shifts, strict=True)
    return source.array("exn_factor", name, (f"{{{m}, {s}}}" for m, s in pairs))


def _flat(weight: Tensor) -> list[int]:
    found: list[int] = weight.flatten().tolist()
    return found


def _weighted(
    source: CSource, number: int, operator: Weighted, weight: Tensor, part: str = ""
) -> dict[str, Any]:
    name = f"{part}_{number}" if part else str(number)
    return {
        "weights": source.array("int8_t", f"weights_{name}", _flat(weight)),
        "biases": source.array("int32_t", f"biases_{name}", _flat(operator.bias)),
        "requantize": {
            "factors": _factors(source, f"factors_{name}", operator.factor),
            "zero": operator.scale.zero,
            "low": operator.low,
            "high": operator.high,
        },
    }


def _filter(
    operator: IntegerConv, source: CSource, number: int, where: str, part: str = ""
) -> dict[str, Any]:
    """Fields of `exn_conv_s8`, or of `exn_depthwise_s8`, whose channels come last."""
    window = window_fields(operator, operator.weight, where)
    if operator.groups == 1:
        weight = operator.weight.permute(0, 2, 3, 1)
    else:
        weight = operator.weight[:, 0].permute(1, 2, 0)
    common = _weighted(source, number, operator, weight, part)
    return {**common, "window": window, "zero": operator.zero_in}


def _conv(node: Node, operator: IntegerConv, graph: Graph, source: CSource, number: int) -> Kernel:
    name = "exn_conv_s8" if operator.groups == 1 else "exn_depthwise_s8"
    fields = _filter(operator, source, number, node.module)
    return Kernel.of(name, fields, source, number)


def _gathered(
    operator: IntegerConv,
    before: IntegerConv | None,
    source: CSource,
    number: int,
    where: str,
) -> Kernel:
    """A convolution of several tensors, or dilated, or of what `before` scales."""
    plain = replace(operator, dilation=(1, 1))
    fields: dict[str, Any] = {"conv": _filter(plain, source, number, where), "before": "NULL"}
    if before is not None:
        scale = _weighted(source, number, before, before.weight, "before")
        fields["before"] = f"&{source.struct('exn_scale_s8', f'before_{number}', scale)}"
    fields["channels"] = operator.weight.shape[1]
    fields["dilation_y"], fields["dilation_x"] = operator.dilation
    return Kernel.of("exn_gathered_conv_s8", fields, source, number)


def _residual(
    node: Node,
    fused: InvertedResidual,
    quantized: QuantizedGraph,
    source: CSource,
    number: int,
) -> Kernel:
    by_output = {n.output: n for n in quantized.graph.nodes}
    last = by_output[node.output]
    project = last
    if fused.residual:
        project = by_output[next(name for name in last.inputs if name != node.inputs[0])]
    depthwise = by_output[project.inputs[0]]
    operators = quantized.operators
    fields: dict[str, Any] = {"expand": "NULL"}
    middle = operators[depthwise.output]
    assert isinstance(middle, IntegerConv)
    check_residual(middle, node.module)
    for part, at in (
        ("expand", by_output[depthwise.inputs[0]] if fused.expand is not None else None),
        ("depthwise", depthwise),
        ("project", project),
    ):
        if at is not None:
            conv = operators[at.output]
            assert isinstance(conv, IntegerConv)
            fields[part] = _filter(conv, source, number, node.module, part)
    if fused.expand is not None:
        expand = source.struct("exn_conv_s8", f"expand_{number}", fields["expand"])
        fields["expand"] = f"&{expand}"
    fields["sum"] = "NULL"
    if fused.residual:
        total = operators[last.output]
        assert isinstance(total, IntegerSum)
        swapped = last.inputs[0] != node.inputs[0]
        named = source.struct("exn_sum_s8", f"sum_{number}", sum_fields(total, swapped=swapped))
        fields["sum"] = f"&{named}"
    fields["hidden"] = middle.groups
    return Kernel.of("exn_residual_s8", fields, source, number)


def _linear(
    node: Node, operator: IntegerLinear, graph: Graph, source: CSource, number: int
) -> Kernel:
    common = _weighted(source, number, operator, operator.weight)
    scores = {stage.logits for stage in graph.stages}
    fields = {
        "weights": common["weights"],
        "biases": common["biases"],
        "factors": common["requantize"]["factors"],
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
    fields: dict[str, Any] = {"first": _cell(source, f"first_{number}", operator.first)}
    second = "NULL"
    if operator.second:
        cells = [
            _cell(source, f"second{way}_{number}", cell) for way, cell in enumerate(operator.second)
        ]
        second = source.array("exn_cell_s8", f"second_{number}", map(_braced, cells))
    blank = source.array("int8_t", f"blank_{number}", [operator.zero_in] * rex.in_channels)
    (multiplier,), (shift,) = operator.state_factor.multipliers, operator.state_factor.shifts
    fields |= {"second": second, "linear_weights": "NULL", "linear_biases": "NULL"}
    fields |= {"linear_factors": "NULL", "blank": blank}
    fields["state_factor"] = {"multiplier": multiplier, "shift": shift}
    fields |= {**geometry, "globals": 0}
    if operator.linear is not None:
        linear = _projection(source, f"linear_{number}", operator.linear)
        for part, name in zip(("weights", "biases", "factors"), linear, strict=True):
            fields[f"linear_{part}"] = name
        fields["globals"] = len(operator.linear.bias)
    fields["zero"] = operator.scale.zero
    return Kernel.of("exn_rex_s8", fields, source, number, accumulates=True)


def _braced(fields: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f".{name} = {value}" for name, value in fields.items()) + "}"


def _projection(
    source: CSource, name: str, projection: Projection, width: str = "int8_t"
) -> tuple[str, str, str]:
    return (
        source.array(width, f"weights_{name}", _flat(projection.weight)),
        source.array("int32_t", f"biases_{name}", _flat(projection.bias)),
        _factors(source, f"factors_{name}", projection.factor),
    )


def _cell(source: CSource, name: str, cell: IntegerCell) -> dict[str, Any]:
    """Fields of `exn_cell_s8`: the gates of one unit come together."""
    units = cell.units
    order = torch.arange(3 * units).view(3, units).t().flatten()
    fields: dict[str, Any] = {}
    for kind, projection in (("input", cell.inputs), ("hidden", cell.hidden)):
        factor = Factor(
            tuple(projection.factor.multipliers[i] for i in order.tolist()),
            tuple(projection.factor.shifts[i] for i in order.tolist()),
        )
        sorted_ = Projection(projection.weight[order], projection.bias[order], factor)
        width = "int8_t" if kind == "input" else "int16_t"
        names = _projection(source, f"{kind}_{name}", sorted_, width)
        for part, found in zip(("weights", "biases", "factors"), names, strict=True):
            fields[f"{kind}_{part}"] = found
    return {**fields, "inputs": cell.inputs.weight.shape[1], "hidden": units}


_MAKERS: dict[type, Callable[[Node, Any, Graph, CSource, int], Kernel]] = {
    IntegerAverage: _average,
    IntegerConv: _conv,
    IntegerLinear: _linear,
    IntegerReX: _rex,
    **MAPS,
}
