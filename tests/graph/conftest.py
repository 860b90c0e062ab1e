"""Graphs put together by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from exeunt.graph import Graph, Node, Operator, StageGraph
from exeunt.graph.operators import Affine, Conv, GlobalAverage, Linear


class Sketch:
    """Nodes, one by one; weights are random.

    Args:
        shape: of the image, (C, H, W).
    """

    def __init__(self, *shape: int) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {"image": shape}
        self.stages: list[tuple[list[Node], str]] = []
        self.nodes: list[Node] = []

    def add(self, operator: Operator, *inputs: str, **constants: Tensor) -> str:
        """Appends a node; returns its name, which says how many tensors there were."""
        name = f"t{len(self.shapes) - 1}"
        zeros = [torch.zeros(1, *self.shapes[source]) for source in inputs]
        self.shapes[name] = tuple(operator.run(zeros, constants).shape[1:])
        self.nodes.append(Node(operator, inputs, name, name, name, "Block", constants))
        return name

    def conv(self, source: str, out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> str:
        weight = torch.randn(out, self.shapes[source][0] // groups, kernel, kernel) / kernel**2
        pad = kernel // 2
        operator = Conv((kernel, kernel), (stride, stride), (pad, pad), groups=groups)
        return self.add(operator, source, weight=weight, bias=torch.randn(out))

    def affine(self, source: str, act: str | None = None) -> str:
        scale, shift = torch.randn(2, self.shapes[source][0])
        return self.add(Affine(act=act), source, scale=scale, shift=shift)

    def exit(self, source: str) -> str:
        """Appends an exit of two classes, which ends the stage."""
        pooled = self.add(GlobalAverage(), source)
        weight = torch.randn(2, self.shapes[pooled][0])
        logits = self.add(Linear(), pooled, weight=weight, bias=torch.randn(2))
        self.stages.append((self.nodes, logits))
        self.nodes = []
        return logits

    def graph(self) -> Graph:
        """Of the stages so far; a stage hands on what a later one reads."""
        stages: list[StageGraph] = []
        needed: set[str] = set()
        for nodes, logits in reversed(self.stages):
            stages.insert(0, StageGraph(tuple(nodes), logits, tuple(sorted(needed))))
            needed |= {name for node in nodes for name in node.inputs}
            needed -= {node.output for node in nodes}
        return Graph("image", tuple(stages), self.shapes)


@pytest.fixture
def sketch() -> type[Sketch]:
    torch.manual_seed(0)
    return Sketch
