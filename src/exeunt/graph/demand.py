"""How much memory tensors and operators need, in whatever order rows are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from exeunt.graph.fuse import InvertedResidual
from exeunt.graph.graph import Graph, Node
from exeunt.graph.rows import row_count
from exeunt.graph.views import Parts, is_view, is_whole
from exeunt.graph.workspace import kept_bytes, scratch_bytes

SCORE_BYTES = 2  # of an int8 net's logits, which policies look at


@dataclass(frozen=True)
class Demand:
    """What a graph needs when it streams.

    Attributes:
        row_bytes: of each tensor that is written; the image too, if it takes memory.
        kept_bytes: what each operator keeps between rows, by the name of its output.
        scratch_bytes: what it needs while it makes a row or takes one in.
        replaceable: tensors whose rows it may write its own over, if it is the last to read them.
    """

    row_bytes: Mapping[str, int]
    kept_bytes: Mapping[str, int]
    scratch_bytes: Mapping[str, int]
    replaceable: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(
        cls,
        graph: Graph,
        segments: Mapping[str, Parts],
        element_bytes: int,
        image: bool,
    ) -> Demand:
        """What a fused graph needs.

        Args:
            graph: of a whole net.
            segments: what `segments_of` says of it.
            element_bytes: 4 for float32, 1 for int8.
            image: whether the image takes memory.
        """
        nodes = [node for node in graph.nodes if not is_view(node.output, segments)]
        tensors = [*([graph.image] if image else []), *(node.output for node in nodes)]
        scores = {stage.logits for stage in graph.stages} if element_bytes == 1 else set()
        row_bytes = {
            name: graph.elements(name)
            // row_count(graph.shapes[name])
            * (SCORE_BYTES if name in scores else element_bytes)
            for name in tensors
        }
        return cls(
            row_bytes,
            {node.output: kept_bytes(graph, node, element_bytes) for node in nodes},
            {node.output: scratch_bytes(graph, node, element_bytes, segments) for node in nodes},
            {
                node.output: tuple(
                    name for name in _replaceable(graph, node, segments) if name in row_bytes
                )
                for node in nodes
            },
        )


def _replaceable(graph: Graph, node: Node, segments: Mapping[str, Parts]) -> list[str]:
    operator = node.operator
    residual = isinstance(operator, InvertedResidual) and operator.residual
    if not residual and not operator.in_place:
        return []
    inputs = [segments[name] for name in node.inputs]
    return [
        parts[0].tensor
        for parts in inputs
        if is_whole(parts, graph)
        and graph.shapes[parts[0].tensor] == graph.shapes[node.output]
        and inputs.count(parts) == 1
    ]
