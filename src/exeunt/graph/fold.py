"""Batch norms into the convolution before them, activations into whatever can take them, zeros
around a map into the convolution behind them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from exeunt.graph.graph import Node
from exeunt.graph.operators import Activated, Activation, Affine, Conv, Linear, Pad


def fold(nodes: Sequence[Node], kept: Iterable[str]) -> list[Node]:
    """The same computation in fewer nodes.

    Args:
        nodes: in order.
        kept: names of tensors that must stay, whoever reads them.
    """
    readers = Counter(name for node in nodes for name in node.inputs)
    readers.update(kept)
    folded: list[Node] = []
    writer: dict[str, int] = {}
    for node in nodes:
        before = writer.get(node.inputs[0]) if len(node.inputs) == 1 else None
        merged = None
        if before is not None and readers[node.inputs[0]] == 1:
            merged = _merged(folded[before], node)
        if before is None or merged is None:
            writer[node.output] = len(folded)
            folded.append(node)
        else:
            writer[node.output] = before
            folded[before] = merged
    return folded


def _merged(first: Node, then: Node) -> Node | None:
    """One node for both, if there is one; it stands where the first was."""
    one, two = first.operator, then.operator
    if isinstance(one, Pad) and isinstance(two, Conv):
        return _padded(first, one, then, two)
    if not isinstance(one, Activated) or one.act is not None:
        return None
    if isinstance(two, Activation):
        return replace(first, operator=replace(one, act=two.act), output=then.output)
    if isinstance(two, Affine) and isinstance(one, (Conv, Linear)):
        constants = _scaled(first.constants, then.constants)
        operator = replace(one, act=two.act)
        return replace(first, operator=operator, output=then.output, constants=constants)
    return None


def _padded(first: Node, pad: Pad, then: Node, conv: Conv) -> Node | None:
    """A convolution with the zeros around its map, if it takes no fewer below and to the right."""
    if conv.padding != (0, 0) or any(conv.beyond):
        return None
    if len(pad.before) != 3 or pad.before[0] or pad.after[0]:
        return None
    _, above, left = pad.before
    beyond = pad.after[1] - above, pad.after[2] - left
    if min(beyond) < 0:
        return None
    operator = replace(conv, padding=(above, left), beyond=beyond)
    return replace(then, operator=operator, inputs=first.inputs)


def _scaled(weights: Mapping[str, Tensor], norm: Mapping[str, Tensor]) -> dict[str, Tensor]:
    weight, scale, shift = weights["weight"], norm["scale"], norm["shift"]
    bias = weights["bias"] * scale + shift if "bias" in weights else shift
    return {"weight": weight * scale.view(-1, *(1,) * (weight.dim() - 1)), "bias": bias}
