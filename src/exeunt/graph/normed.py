"""ReX and the batch norm behind it as one operator, for what has no map between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from exeunt.graph.graph import Graph, Node
from exeunt.graph.operators import Affine, Constants, Whole
from exeunt.ops.rex import ReX2d


@dataclass(frozen=True)
class NormedReX(Whole):
    """ReX, and scale and shift by channel: constants of ReX, and `norm.scale` and `norm.shift`."""

    @property
    def settings(self) -> dict[str, Any]:
        return {**super().settings, "norm": True}

    def finish(self, out: Tensor, constants: Constants) -> Tensor:
        scale, shift = constants["norm.scale"], constants["norm.shift"]
        return Affine().run([out], {"scale": scale, "shift": shift})


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
        assert isinstance(whole, Whole)
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
    return plain and type(one) is Whole and isinstance(one.module, ReX2d)
