"""The reference: a graph run node by node."""

from __future__ import annotations

import torch
from torch import Tensor

from exeunt.graph.graph import Graph


@torch.no_grad()
def interpret(graph: Graph, images: Tensor) -> list[Tensor]:
    """Logits of every exit, E tensors (N, K), from images (N, C, H, W) of the graph's size.

    A tensor is dropped after the last node that reads it.
    """
    last = {name: node for node in graph.nodes for name in node.inputs}
    held = {graph.image: images}
    outputs = []
    for stage in graph.stages:
        for node in stage.nodes:
            inputs = [held[name] for name in node.inputs]
            held[node.output] = node.operator.run(inputs, node.constants)
            for name in set(node.inputs):
                if last[name] is node and name != stage.logits:
                    del held[name]
        outputs.append(held[stage.logits])
    return outputs
