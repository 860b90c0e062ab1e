"""Exits that classify by a convolution of one pixel, as matrices: integers want these."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from exeunt.graph.graph import Node
from exeunt.graph.operators import Conv, Flatten, GlobalAverage, Linear, Shape


def with_vectors(
    nodes: Sequence[Node], logits: str, shapes: dict[str, Shape], kept: Sequence[str]
) -> list[Node]:
    """The same computation, in which logits that were a map of one pixel, flattened, are made of
    vectors as far back as may be.

    Args:
        nodes: in order.
        logits: what they give.
        shapes: of all tensors; those of vectors are noted.
        kept: names of tensors that must stay.
    """
    made = [*nodes]
    writers = {node.output: k for k, node in enumerate(made)}
    readers = Counter(name for node in made for name in node.inputs)
    readers.update(kept)
    flat = writers.get(logits)
    while flat is not None and isinstance(made[flat].operator, Flatten):
        node = made[flat]
        (source,) = node.inputs
        at = writers.get(source)
        if at is None or readers[source] != 1:
            break
        before = made[at]
        if isinstance(before.operator, GlobalAverage):
            made[at] = replace(before, operator=GlobalAverage(), output=node.output)
            del made[flat]
            break
        matrix = _matrix(before, node.output, shapes)
        if matrix is None:
            break
        shapes[source] = shapes[before.inputs[0]][:1]
        made[at] = replace(before, operator=Flatten(), output=source, constants={})
        made[flat] = replace(matrix, inputs=(source,))
        flat = at
    return made


def _matrix(node: Node, to: str, shapes: dict[str, Shape]) -> Node | None:
    """A convolution of one pixel, by all channels, as a matrix."""
    conv = node.operator
    if not isinstance(conv, Conv) or conv.kernel != (1, 1) or conv.groups != 1:
        return None
    if any(shapes[name][1:] != (1, 1) for name in (*node.inputs, node.output)):
        return None
    weights = dict(node.constants) | {"weight": node.constants["weight"].flatten(1)}
    return replace(node, operator=Linear(act=conv.act), output=to, constants=weights)
