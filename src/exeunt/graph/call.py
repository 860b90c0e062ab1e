"""One call of a captured stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx

from exeunt.graph.capture import Captured
from exeunt.graph.operator import Operator, Shape


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
