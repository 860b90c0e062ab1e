"""What the float kernels of recurrent operators are told about each node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from exeunt.errors import ExeuntError
from exeunt.export.c.kernel import Kernel, of_patches, renet_fields, rex_fields
from exeunt.export.c.source import CSource, float_texts, initialiser
from exeunt.graph.graph import Graph, Node
from exeunt.graph.operators import Composite
from exeunt.ops.recurrence import CELLS
from exeunt.ops.renet import ReNet2d
from exeunt.ops.rex import ReX2d

Maker = Callable[[Node, Any, Graph, CSource, int], Kernel]


def recurrent_maker(module: nn.Module) -> Maker | None:
    """What calls the kernel of a module that stays one operator; None for one that has none."""
    if isinstance(module, ReX2d):
        return _rex
    return _renet if isinstance(module, ReNet2d) else None


def float_array(source: CSource, name: str, values: Tensor, where: str) -> str:
    """Defines an array of numbers.

    Raises:
        ExeuntError: for weights that are not finite, naming the module.
    """
    if not bool(values.isfinite().all()):
        raise ExeuntError(f"{where}: its weights are not finite")
    return source.array("float", name, float_texts(values.flatten().tolist()))


def _rex(node: Node, whole: Composite, graph: Graph, source: CSource, number: int) -> Kernel:
    rex, where = whole.module, node.module
    assert isinstance(rex, ReX2d)
    _, height, width = graph.shapes[node.inputs[0]]
    kind = f"exn_{rex.cell}_f32"
    fields = {"kind": f"&{kind}", **rex_fields(rex, height, width, where)}
    fields["first"] = _cell(rex.cell, rex.rnn1, "l0", source, f"first_{number}", where)
    fields["second"] = "NULL"
    if rex.use_rows or rex.use_cols:
        ways = ("l0", "l0") if rex.shared_directions else ("l0", "l0_reverse")
        cells = [
            _cell(rex.cell, rex.rnn2, ending, source, f"second{way}_{number}", where)
            for way, ending in enumerate(ways)
        ]
        fields["second"] = source.array("exn_cell_f32", f"second_{number}", map(initialiser, cells))
    fields |= {"linear_weights": "NULL", "linear_biases": "NULL", "globals": 0}
    if rex.use_global:
        weight, bias = rex.linear.weight.detach(), rex.linear.bias.detach()
        name = f"linear_{number}"
        fields["linear_weights"] = float_array(source, f"weights_{name}", weight.t(), where)
        fields["linear_biases"] = float_array(source, f"biases_{name}", bias, where)
        fields["globals"] = len(bias)
    for name in ("scale", "shift"):
        values = node.constants.get(f"norm.{name}")
        fields[f"{name}s"] = (
            "NULL" if values is None else float_array(source, f"{name}s_{number}", values, where)
        )
    return Kernel.of("exn_rex_f32", fields, source, number, accumulates=True, parts=(kind,))


def _cell(
    kind: str,
    rnn: nn.Module,
    ending: str,
    source: CSource,
    name: str,
    where: str,
    patches: ReNet2d | None = None,
) -> dict[str, Any]:
    """Fields of `exn_cell_f32`; the input may be `patches`, which lie channels last."""
    own = {part: getattr(rnn, f"{part}_{ending}").detach() for part in _CELLS[kind]}
    if patches is not None and rnn is patches.columns:
        own["weight_ih"] = of_patches(patches, own["weight_ih"])
    if kind == "fastgrnn":  # its two biases are added in each step
        biases = own["bias_ih"]
        own["bias_hh"] = torch.cat([biases, own.pop("mix").sigmoid()])
        own["bias_ih"] = torch.zeros(len(biases) // 2)
    if kind in ("lstm", "rnn"):  # the sum of both is added
        own["bias_ih"] = own["bias_ih"] + own.pop("bias_hh")
    fields: dict[str, Any] = {}
    for which, short in (("input", "ih"), ("hidden", "hh")):
        for said, part in (("weights", f"weight_{short}"), ("biases", f"bias_{short}")):
            fields[f"{which}_{said}"] = "NULL"
            if part in own:
                values = own[part].t()
                fields[f"{which}_{said}"] = float_array(
                    source, f"{which}_{said}_{name}", values, where
                )
    inputs, hidden = own["weight_ih"].shape[1], len(own["weight_ih"]) // CELLS[kind].gates
    return {**fields, "inputs": inputs, "hidden": hidden, "state": CELLS[kind].states * hidden}


_BOTH = ("weight_ih", "bias_ih", "weight_hh", "bias_hh")
_CELLS = {
    "gru": _BOTH,
    "lstm": _BOTH,
    "rnn": _BOTH,
    "mingru": ("weight_ih", "bias_ih"),
    "fastgrnn": ("weight_ih", "bias_ih", "weight_hh", "mix"),
}
"""What a cell of each kind has."""


def _renet(node: Node, whole: Composite, graph: Graph, source: CSource, number: int) -> Kernel:
    renet, where = whole.module, node.module
    assert isinstance(renet, ReNet2d)
    fields = renet_fields(renet, graph.shapes[node.inputs[0]], 4, where)
    for said, rnn in (("columns", renet.columns), ("rows", renet.rows)):
        cells = [
            _cell("gru", rnn, ending, source, f"{said}{way}_{number}", where, renet)
            for way, ending in enumerate(("l0", "l0_reverse"))
        ]
        fields[said] = source.array("exn_cell_f32", f"{said}_{number}", map(initialiser, cells))
    fields = {"kind": "&exn_gru_f32", **fields}
    parts = ("exn_gru_f32",)
    return Kernel.of("exn_renet_f32", fields, source, number, accumulates=True, parts=parts)
