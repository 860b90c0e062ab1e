"""Batch norms into the convolution before them, limits into whatever can take them.

Other functions stay: in integers the numbers before them have a scale of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from exeunt.graph.graph import Node
from exeunt.graph.operators import Activated, Activation, Affine, Conv, Linear, Pad
from exeunt.graph.pointwise import bounds


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
    if isinstance(two, Activation) and bounds(two.act) is not None:
        return replace(first, operator=replace(one, act=two.act), output=then.output)
    if isinstance(two, Affine) and isinstance(one, Affine):
        scale, shift = then.constants["scale"], then.constants["shift"]
        constants = {
            "scale": first.constants["scale"] * scale,
            "shift": first.constants["shift"] * scale + shift,
        }
        return replace(first, operator=two, output=then.output, constants=constants)
    if isinstance(two, Affine) and isinstance(one, (Conv, Linear)):
        constants = _scaled(first.constants, then.constants)
        operator = replace(one, act=two.act)
        return replace(first, operator=operator, output=then.output, constants=constants)
    return None


def _padded(pad: Node, zeros: Pad, then: Node, conv: Conv) -> Node | None:
    """A convolution that has the zeros before it around it, if none of its windows is all zeros."""
    before, after = zeros.before, zeros.after
    trail = conv.padding if conv.trail is None else conv.trail
    leads = conv.padding[0] + before[1], conv.padding[1] + before[2]
    trails = trail[0] + after[1], trail[1] + after[2]
    spans = [d * (k - 1) for d, k in zip(conv.dilation, conv.kernel, strict=True)]
    if before[0] or after[0] or any(max(leads[i], trails[i]) > spans[i] for i in range(2)):
        return None
    operator = replace(conv, padding=leads, trail=None if trails == leads else trails)
    return replace(then, operator=operator, inputs=pad.inputs)


def _scaled(weights: Mapping[str, Tensor], norm: Mapping[str, Tensor]) -> dict[str, Tensor]:
    weight, scale, shift = weights["weight"], norm["scale"], norm["shift"]
    bias = weights["bias"] * scale + shift if "bias" in weights else shift
    return {"weight": weight * scale.view(-1, *(1,) * (weight.dim() - 1)), "bias": bias}
