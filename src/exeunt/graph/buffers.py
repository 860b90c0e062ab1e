"""Who needs memory, how much, and from when to when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exeunt.graph.graph import Graph, Node
from exeunt.graph.operators import Flatten, Slice, Unflatten

VIEWS = (Flatten, Slice, Unflatten)
"""These are another look at their input: nothing moves."""


@dataclass(frozen=True)
class Buffer:
    """Memory for one tensor, or for several that take it over from each other.

    Attributes:
        names: tensors that live in it, in the order in which they are written.
        size_bytes: of the largest.
        first: position of the node that first writes it, counted over all stages; -1 for the image.
        last: position of the last node that reads it, or after which somebody outside still may.
    """

    names: tuple[str, ...]
    size_bytes: int
    first: int
    last: int

    def meets(self, other: Buffer) -> bool:
        """Whether both are needed at some moment."""
        return self.first <= other.last and other.first <= self.last


def buffers_of(graph: Graph, element_bytes: int, *, image: bool = True) -> list[Buffer]:
    """The buffers of a graph whose every map is materialised.

    What a later stage reads stays alive; an exit's logits until its stage is done, for the policy.
    Operators that are `in_place` take over a dying input's buffer, `VIEWS` share that of their
    input.

    Args:
        graph: of a whole net.
        element_bytes: of a number, 4 for float32 and 1 for int8.
        image: whether the image takes memory, too; if not, it is read from elsewhere.
    """
    nodes = list(graph.nodes)
    last = _last_reads(graph, nodes)
    home: dict[str, int] = {graph.image: 0}
    names: list[list[str]] = [[graph.image]]
    first = [-1]
    for position, node in enumerate(nodes):
        taken = _taken_over(graph, node, position, home, names, last)
        if taken is None:
            home[node.output] = len(names)
            names.append([node.output])
            first.append(position)
        else:
            home[node.output] = taken
            names[taken].append(node.output)
    found = [
        Buffer(
            tuple(group),
            max(graph.elements(name) for name in group) * element_bytes,
            first[k],
            max(last[name] for name in group),
        )
        for k, group in enumerate(names)
    ]
    return found if image else found[1:]


def live_bytes(buffers: Sequence[Buffer]) -> list[int]:
    """Bytes that must exist while each node runs: no plan needs less than the largest."""
    end = max(buffer.last for buffer in buffers) + 1
    steps = [0] * (end + 1)
    for buffer in buffers:
        steps[max(buffer.first, 0)] += buffer.size_bytes
        steps[buffer.last + 1] -= buffer.size_bytes
    live, total = [], 0
    for step in steps[:end]:
        total += step
        live.append(total)
    return live


def _last_reads(graph: Graph, nodes: Sequence[Node]) -> dict[str, int]:
    last = {graph.image: 0}
    for position, node in enumerate(nodes):
        last[node.output] = position
        for name in node.inputs:
            last[name] = position
    end = -1
    for stage in graph.stages:
        end += len(stage.nodes)
        last[stage.logits] = max(last[stage.logits], end)
    return last


def _taken_over(
    graph: Graph,
    node: Node,
    position: int,
    home: dict[str, int],
    names: list[list[str]],
    last: dict[str, int],
) -> int | None:
    """The buffer that a node's output goes into, if it needs none of its own."""
    if isinstance(node.operator, VIEWS):
        return home[node.inputs[0]]
    if node.operator.in_place:
        for name in node.inputs:
            everyone = max(last[other] for other in names[home[name]])
            same = graph.elements(name) == graph.elements(node.output)
            if everyone == position and same and node.inputs.count(name) == 1:
                return home[name]
    return None
