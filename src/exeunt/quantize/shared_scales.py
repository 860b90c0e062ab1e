"""Which tensors must share a scale, because numbers go from one to the other as they are."""

from __future__ import annotations

from exeunt.graph.graph import Graph
from exeunt.graph.operators import SharpPool


def shared_scales(graph: Graph) -> dict[str, str]:
    """A representative for every tensor; tensors that share a scale have the same."""
    leader = {name: name for name in graph.shapes}

    def find(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    for node in graph.nodes:
        if node.operator.keeps_scale:
            for name in node.inputs[:1] if isinstance(node.operator, SharpPool) else node.inputs:
                leader[find(name)] = find(node.output)
    return {name: find(name) for name in leader}
