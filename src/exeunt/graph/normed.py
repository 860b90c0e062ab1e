"""ReX and the batch norm behind it as one operator, for what has no map between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from exeunt.graph.graph import Graph, Node
from exeunt.graph.operators import Affine, Composite, Constants
from exeunt.ops.rex import ReX2d


@dataclass(frozen=True)
class NormedReX(Composite):
    """ReX, and scale and shift by channel: constants of ReX, and `norm.scale` and `norm.shift`."""

    @property
    def settings(self) -> dict[str, Any]:
        return {**super().settings, "norm": True}

    def finish(self, out: Tensor, constants: Constants) -> Tensor:
        scale, shift = constants["norm.scale"], constants["norm.shift"]
        return Affine().run([out], {"scale": scale, "shift": shift})


def into_linear(rex: ReX2d, constants: Constants) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The linear map of ReX with its share of the norm, and the norm that remains for the states.

    Returns:
        The map's parameters by name, where there is one, and `norm.scale` and `norm.shift`
        (C'), which are 1 and 0 in its channels, and where there is no norm.
    """
    of = rex.rnn1.weight_ih_l0
    scale = constants.get("norm.scale", of.new_ones(rex.out_channels))
    shift = constants.get("norm.shift", of.new_zeros(rex.out_channels))
    parameters = {}
    at = torch.zeros(rex.out_channels, dtype=torch.bool, device=of.device)
    if rex.use_global:
        start = 2 * rex.hidden2 * rex.use_rows
        at[start : start + 4 * rex.hidden2] = True
        weight, bias = rex.linear.weight, rex.linear.bias
        parameters["linear.weight"] = weight * scale[at, None]
        parameters["linear.bias"] = bias * scale[at] + shift[at]
    rest = {"norm.scale": scale.masked_fill(at, 1.0), "norm.shift": shift.masked_fill(at, 0.0)}
    return parameters, rest


def take_norms(graph: Graph) -> Graph:
    """The same graph with every ReX and what alone reads it, if that scales, as one node."""
    readers = Counter(name for node in graph.nodes for name in node.inputs)
    for stage in graph.stages:
        readers.update((stage.logits, *stage.state))
    stages = [replace(s, nodes=_with_norms(s.nodes, readers)) for s in graph.stages]
    kept = {node.output for stage in stages for node in stage.nodes} | {graph.image}
    shapes = {name: shape for name, shape in graph.shapes.items() if name in kept}
    return Graph(graph.image, tuple(stages), shapes)


def _with_norms(nodes: Sequence[Node], readers: Counter[str]) -> tuple[Node, ...]:
    found: dict[str, Node] = {}
    for node in nodes:
        before = found.get(node.inputs[0])
        if before is None or readers[before.output] != 1 or not _scales(before, node):
            found[node.output] = node
            continue
        del found[before.output]
        norm = {f"norm.{name}": tensor for name, tensor in node.constants.items()}
        whole = before.operator
        assert isinstance(whole, Composite)
        found[node.output] = replace(
            before,
            operator=NormedReX(whole.name, whole.module),
            output=node.output,
            constants={**before.constants, **norm},
        )
    return tuple(found.values())


def _scales(rex: Node, then: Node) -> bool:
    one, two = rex.operator, then.operator
    plain = isinstance(two, Affine) and two.act is None
    return plain and type(one) is Composite and isinstance(one.module, ReX2d)
