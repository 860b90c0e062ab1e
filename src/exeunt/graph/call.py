"""One call of a captured stage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from exeunt.graph.capture import Captured
from exeunt.graph.operator import Operator, Shape
from exeunt.ops.macs import macs_of


@dataclass(frozen=True)
class Call:
    """One ATen call: `inputs` are tensors that were computed, `constants` those that are stored."""

    node: fx.Node
    inputs: list[fx.Node]
    constants: dict[int, Tensor]
    captured: Captured

    def argument(self, position: int, name: str, default: Any) -> Any:
        if position < len(self.node.args):
            return self.node.args[position]
        return self.node.kwargs.get(name, default)

    @property
    def shape(self) -> Shape:
        """Of the first input, without the batch."""
        return shape_of(self.inputs[0])

    @property
    def out(self) -> Shape:
        """Of what it gives."""
        return shape_of(self.node)


Made = tuple[Operator, dict[str, Tensor]]
"""An operator, and its weights."""


def shape_of(node: fx.Node) -> Shape:
    """Without the batch; of what gives several tensors, the first."""
    value = node.meta["val"]
    first = value[0] if isinstance(value, (tuple, list)) else value
    return tuple(int(n) for n in first.shape[1:])


def fits(call: Call) -> bool:
    """Whether two tensors have one size, or one of them has a single channel, row or column for
    all.
    """
    one, two = (shape_of(node) for node in call.inputs)
    if len(one) != len(two) or len(one) not in (1, 3):
        return False
    return all(1 in size or size[0] == size[1] for size in zip(one, two, strict=True))


def by_channel(call: Call, number: Any) -> Tensor | None:
    """The constant of a call, or a number, as one number for each channel of its input (C)."""
    if len(call.inputs) != 1 or len(call.shape) not in (1, 3) or call.out != call.shape:
        return None
    channels = call.shape[0]
    found = next(iter(call.constants.values()), None)
    if found is None:
        plain = isinstance(number, (int, float)) and not isinstance(number, bool)
        return torch.full((channels,), float(number)) if plain else None
    if found.numel() == 1:
        return found.reshape(1).expand(channels)
    wanted = (channels,) + (1,) * (len(call.shape) - 1)
    return found.reshape(channels) if found.numel() == channels and _ends(found, wanted) else None


def _ends(found: Tensor, wanted: Shape) -> bool:
    """Whether a shape is this one, but for 1s before it."""
    return (1,) * (found.dim() - len(wanted)) + wanted == tuple(found.shape)


def tensors_of(values: Any) -> Iterator[fx.Node]:
    """Nodes among the arguments of a call, those in lists too."""
    for value in values:
        if isinstance(value, fx.Node):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from tensors_of(value)


def gives_tensor(node: fx.Node) -> bool:
    """Whether a node gives one tensor of one image, and not several, or a number."""
    value = node.meta["val"]
    return isinstance(value, Tensor) and value.dim() > 1


def sizes_of(node: fx.Node) -> Shape:
    """The shape of all numbers that a node gives for one image, which need not come first."""
    shape = tuple(int(n) for n in node.meta["val"].shape)
    return shape[1:] if shape[0] == 1 else shape


def cost_of(node: fx.Node) -> int | None:
    """Multiply-adds of a call, counted on tensors that have shapes and no numbers."""
    args, kwargs = fx.map_arg((node.args, node.kwargs), lambda given: given.meta["val"])
    with torch.no_grad():
        return macs_of(node.target, *args, **kwargs)


def settings_of(node: fx.Node) -> str:
    """The arguments of a call that are no tensors, for messages."""
    plain = [a for a in node.args if not isinstance(a, (fx.Node, list))]
    return f"{[*plain, *(a for a in node.args if isinstance(a, list))]} {node.kwargs or ''}".strip()
