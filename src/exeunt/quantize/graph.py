"""A network in integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from exeunt.graph.graph import Graph
from exeunt.quantize.operators import IntegerOperator
from exeunt.quantize.scale import Scale


@dataclass(frozen=True)
class QuantizedGraph:
    """A graph, and what stands for its tensors and nodes.

    Attributes:
        graph: as `build_graph` makes it, ReX and the norm behind it being one node.
        scales: of every tensor, by name.
        operators: of every node, by the name of its output.
    """

    graph: Graph
    scales: Mapping[str, Scale]
    operators: Mapping[str, IntegerOperator]

    def logit_scale(self, exit_index: int) -> Scale:
        """Of the scores of one exit."""
        return self.scales[self.graph.stages[exit_index].logits]


@torch.no_grad()
def run_quantized(quantized: QuantizedGraph, images: Tensor) -> list[Tensor]:
    """Scores of every exit, E tensors (N, K) of int16 numbers in int64.

    Args:
        quantized: the net.
        images: (N, C, H, W), float32, as the net takes them.
    """
    graph = quantized.graph
    taken = quantized.scales[graph.image].quantized(images).int()
    alive = {graph.image: taken.contiguous(memory_format=torch.channels_last)}
    kept = {stage.logits for stage in graph.stages}
    last = {name: node.output for node in graph.nodes for name in node.inputs}
    for node in graph.nodes:
        inputs = [alive[name] for name in node.inputs]
        alive[node.output] = quantized.operators[node.output].run(inputs)
        for name in node.inputs:
            if last[name] == node.output and name not in kept:
                alive.pop(name, None)
    return [alive[stage.logits].long() for stage in graph.stages]
