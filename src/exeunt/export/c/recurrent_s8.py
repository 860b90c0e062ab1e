"""What the int8 kernels of recurrent operators are told about each node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from exeunt.export.c.kernel import Kernel, of_patches, renet_fields, rex_fields
from exeunt.export.c.packed_s8 import WORDS, blank, flat, in_threes, integer_rows, packed
from exeunt.export.c.source import CSource, initialiser
from exeunt.graph.graph import Graph, Node
from exeunt.quantize.renet import IntegerReNet
from exeunt.quantize.rex import (
    IntegerCell,
    IntegerFastGRNN,
    IntegerGRU,
    IntegerLSTM,
    IntegerReX,
    IntegerRNN,
    Projection,
)
from exeunt.quantize.scale import Factor


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
        second = source.array("exn_cell_s8", f"second_{number}", map(initialiser, cells))
    fields |= {"second": second, "linear_weights": "NULL", "linear_rows": "NULL"}
    fields["blank"] = blank(source, operator.zero_in, rex.in_channels)
    states = iter(operator.states)
    for part, used in (("row", rex.use_rows), ("column", rex.use_cols)):
        fields[f"{part}_rows"] = "NULL"
        if used:
            of = next(states)
            fields[f"{part}_rows"] = integer_rows(source, f"{part}_{number}", of.bias, of.factor, 1)
    fields |= {**geometry, "globals": 0}
    if operator.linear is not None:
        summaries = sum(rex.patch_size)
        fields |= _projection(source, "linear", str(number), operator.linear, summaries)
        fields["globals"] = len(operator.linear.bias)
    fields["zero"] = operator.scale.zero
    return Kernel.of("exn_rex_s8", fields, source, number, accumulates=True, parts=(kind,))


def _projection(
    source: CSource, part: str, name: str, projection: Projection, runs: int = 1
) -> dict[str, str]:
    """Weights and rows over so many runs of 16-bit numbers."""
    weight = in_threes(projection.weight.view(len(projection.weight), runs, -1))
    return {
        f"{part}_weights": source.array(WORDS, f"weights_{part}_{name}", flat(weight)),
        f"{part}_rows": integer_rows(
            source, f"{part}_{name}", projection.bias, projection.factor, 3
        ),
    }


def _cell(source: CSource, name: str, cell: IntegerCell, *, wide: bool) -> dict[str, Any]:
    """Fields of `exn_cell_s8`: the gates of one unit come together; `wide` inputs are states."""
    units = cell.units
    order = torch.arange(cell.gates * units).view(cell.gates, units).t().flatten()
    inputs = _sorted(cell.inputs, order)
    fields: dict[str, Any] = {"hidden_weights": "NULL", "hidden_rows": "NULL"}
    if isinstance(cell, IntegerGRU | IntegerLSTM | IntegerRNN | IntegerFastGRNN):
        fields = _projection(source, "hidden", name, _sorted(cell.hidden, order))
    fields["biases"] = "NULL"
    if isinstance(cell, IntegerFastGRNN):
        biases = [*flat(cell.biases.t()), cell.zeta, cell.nu]
        fields["biases"] = source.array("int32_t", f"biases_{name}", biases)
    if wide:
        fields |= _projection(source, "input", name, inputs)
    else:
        weight = packed(inputs.weight[:, None])
        fields["input_weights"] = source.array(WORDS, f"weights_input_{name}", flat(weight))
        fields["input_rows"] = integer_rows(source, f"input_{name}", inputs.bias, inputs.factor)
    sizes = {"inputs": inputs.weight.shape[1], "hidden": units, "state": cell.states * units}
    return {**fields, **sizes}


def _sorted(projection: Projection, order: Tensor) -> Projection:
    factor = Factor(
        tuple(projection.factor.multipliers[i] for i in order.tolist()),
        tuple(projection.factor.shifts[i] for i in order.tolist()),
    )
    return Projection(projection.weight[order], projection.bias[order], factor)


def _renet(
    node: Node, operator: IntegerReNet, graph: Graph, source: CSource, number: int
) -> Kernel:
    renet = operator.renet
    geometry = renet_fields(renet, graph.shapes[node.inputs[0]], 1, node.module)
    fields: dict[str, Any] = {"kind": "&exn_gru_s8", **geometry}
    for said, cells, wide in (("columns", operator.columns, False), ("rows", operator.rows, True)):
        made = []
        for way, cell in enumerate(cells):
            if not wide:  # patches lie channels last
                weight = of_patches(renet, cell.inputs.weight)
                cell = replace(cell, inputs=replace(cell.inputs, weight=weight))
            made.append(initialiser(_cell(source, f"{said}{way}_{number}", cell, wide=wide)))
        fields[said] = source.array("exn_cell_s8", f"{said}_{number}", made)
    states = operator.states
    fields["states"] = integer_rows(source, f"states_{number}", states.bias, states.factor, 1)
    fields |= {"zero_in": operator.zero_in, "zero": operator.scale.zero}
    parts = ("exn_gru_s8",)
    return Kernel.of("exn_renet_s8", fields, source, number, accumulates=True, parts=parts)


MAKERS: dict[type, Callable[[Node, Any, Graph, CSource, int], Kernel]] = {
    IntegerReNet: _renet,
    IntegerReX: _rex,
}
"""How each of these operators is called."""
