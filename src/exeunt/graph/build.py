"""A net, lowered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from exeunt.graph.capture import capture
from exeunt.graph.fold import fold
from exeunt.graph.graph import Graph, Node, StageGraph
from exeunt.graph.lower import lower
from exeunt.graph.operators import Shape
from exeunt.mode import evaluating
from exeunt.net import MultiExitNet, Stage

IMAGE = "image"


@torch.no_grad()
def build_graph(
    net: MultiExitNet, image_size: int | tuple[int, int], *, opaque: bool = False
) -> Graph:
    """The graph of a net for images of one size; the net is left as it is.

    Args:
        net: any multi-exit net, trained or not.
        image_size: height and width, or one number for both.
        opaque: let operators without a plain form stand as `Opaque`: enough to plan memory, not to
            count or run them.

    Raises:
        ExeuntError: when a stage cannot be exported, or has an operator without a plain form.
    """
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    with evaluating(net):
        weight = next(net.parameters())
        state = net.begin(weight.new_zeros(1, net.in_chans, height, width))
        names = [IMAGE]
        shapes: dict[str, Shape] = {IMAGE: (net.in_chans, height, width)}
        stages = []
        for k, stage in enumerate(net.stages):
            assert isinstance(stage, Stage)
            path = f"stages.{k}"
            lowered, (logits, *handed) = lower(
                capture(stage, state, path), names, path, opaque=opaque
            )
            nodes = fold(lowered.nodes, [logits, *handed])
            called = _called(nodes)
            shapes |= {called[node.output]: lowered.shapes[node.output] for node in nodes}
            nodes = [_renamed(node, called) for node in nodes]
            names = [called.get(name, name) for name in handed]
            stages.append(StageGraph(tuple(nodes), called.get(logits, logits), tuple(names)))
            _, state = net.step(k, state)
        return Graph(IMAGE, tuple(stages), shapes)


def _called(nodes: Sequence[Node]) -> dict[str, str]:
    """Names of what nodes write: those of their modules, numbered where one module has several."""
    count = Counter[str]()
    names = {}
    for node in nodes:
        count[node.module] += 1
        again = f"#{count[node.module]}" if count[node.module] > 1 else ""
        names[node.output] = node.module + again
    return names


def _renamed(node: Node, names: Mapping[str, str]) -> Node:
    inputs = tuple(names.get(name, name) for name in node.inputs)
    return replace(node, inputs=inputs, output=names[node.output])
