"""A network as a flat list of operators over named tensors: what every question of cost is put to.

Nodes run in order, stage after stage. A tensor has one name for all of the net, so what a stage
merely hands on keeps its name, and lifetimes can be followed from the image to the last exit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torch import Tensor

from exeunt.graph.operators import Composite, Operator, Shape


@dataclass(frozen=True)
class Node:
    """One operator in its place.

    Attributes:
        operator: what is done.
        inputs: names of the tensors that it reads.
        output: name of the tensor that it writes.
        module: path of the module it comes from, `stages.0.trunk.stem.conv`.
        block: path of the block around that: the outermost module that is no mere container.
        block_kind: class of that block.
        constants: its weights, float32, batch norm folded in.
        again_macs: multiply-adds that rows take which it makes more than once.
    """

    operator: Operator
    inputs: tuple[str, ...]
    output: str
    module: str
    block: str
    block_kind: str
    constants: Mapping[str, Tensor] = field(default_factory=dict, compare=False)
    again_macs: int = 0


@dataclass(frozen=True)
class StageGraph:
    """The nodes of one stage.

    Attributes:
        nodes: in the order in which they run, the exit's last.
        logits: name of the tensor that the exit gives.
        state: names of the tensors handed to the next stage; for the last stage too, though nobody
            reads them there.
    """

    nodes: tuple[Node, ...]
    logits: str
    state: tuple[str, ...]


@dataclass(frozen=True)
class Graph:
    """All stages of a net.

    Attributes:
        image: name of the input.
        stages: E of them.
        shapes: of every tensor by name, for one image: (C, H, W) or (C,).
    """

    image: str
    stages: tuple[StageGraph, ...]
    shapes: Mapping[str, Shape]

    @property
    def nodes(self) -> Iterator[Node]:
        """Of all stages, in order."""
        return (node for stage in self.stages for node in stage.nodes)

    @cached_property
    def macs(self) -> dict[str, int]:
        """Multiply-adds of every node, by the name of its output."""
        return {
            node.output: node.operator.macs(
                [self.shapes[name] for name in node.inputs], self.shapes[node.output]
            )
            + node.again_macs
            for node in self.nodes
        }

    @property
    def exit_macs(self) -> tuple[int, ...]:
        """Cumulative multiply-adds of the E exits."""
        totals, spent = [], 0
        for stage in self.stages:
            spent += sum(self.macs[node.output] for node in stage.nodes)
            totals.append(spent)
        return tuple(totals)

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """All that is stored, named after the modules that it is of."""
        for node in self.nodes:
            named = dict(node.constants)
            if isinstance(node.operator, Composite):
                named |= node.operator.module.state_dict()
            yield from ((f"{node.module}.{name}", tensor) for name, tensor in named.items())

    def elements(self, name: str) -> int:
        """Numbers in a tensor."""
        return math.prod(self.shapes[name])

    def __str__(self) -> str:
        """One line per node: output, shape, operator and what tells it apart, inputs."""
        lines = [f"{self.image}  {_spell(self.shapes[self.image])}  image"]
        for k, stage in enumerate(self.stages):
            lines.append(f"stage {k}")
            for node in stage.nodes:
                described = ", ".join(
                    f"{key}={value}" for key, value in _described(node.operator).items()
                )
                lines.append(
                    f"  {node.output}  {_spell(self.shapes[node.output])}  {node.operator.kind}"
                    f"({described})  <- {', '.join(node.inputs)}"
                )
            lines.append(f"  logits {stage.logits}; state {', '.join(stage.state)}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the weights, of which it gives the shapes."""
        return {
            "image": self.image,
            "tensors": {name: list(shape) for name, shape in self.shapes.items()},
            "stages": [
                {
                    "logits": stage.logits,
                    "state": list(stage.state),
                    "nodes": [
                        {
                            "operator": node.operator.kind,
                            "settings": node.operator.settings,
                            "inputs": list(node.inputs),
                            "output": node.output,
                            "module": node.module,
                            "block": node.block,
                            "macs": self.macs[node.output],
                            "constants": {n: list(t.shape) for n, t in node.constants.items()},
                        }
                        for node in stage.nodes
                    ],
                }
                for stage in self.stages
            ],
        }


def _described(operator: Operator) -> dict[str, Any]:
    """Settings that are not the default ones."""
    plain = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1, "act": None}
    plain |= {"trail": None, "alpha": 1.0, "keep": False}
    return {
        key: value
        for key, value in operator.settings.items()
        if key not in plain or plain[key] != value
    }


def _spell(shape: Shape) -> str:
    return "x".join(map(str, shape))
