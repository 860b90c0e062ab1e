"""Whether an operator does in the graph what its module does in torch."""

from __future__ import annotations

import torch
from torch import nn

from exeunt.chain import Block, chain
from exeunt.errors import ExeuntError
from exeunt.graph.build import build_graph
from exeunt.graph.interpret import interpret
from exeunt.graph.own import OWN
from exeunt.graph.stream import run_stream
from exeunt.graph.streamed import plan_stream
from exeunt.net import MultiExitNet
from exeunt.ops.exits import make_exit

_TOLERANCE = 1e-4  # of the largest score


@torch.no_grad()
def check_operator(module: nn.Module, image_shape: tuple[int, int, int] = (3, 16, 16)) -> None:
    """Lowers a module that becomes a registered operator, and runs it whole and row by row.

    Args:
        module: from maps (N, C, H, W) to maps.
        image_shape: (C, H, W) of a map that it takes.

    Raises:
        ExeuntError: when the graph has no operator that was registered, or other numbers.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, *image_shape, generator=generator)
    module = module.eval()
    channels = module(images).shape[1]
    blocks = [Block("block", module, channels)]
    stages = chain(blocks, [0], lambda _, features: make_exit("pooled", features, 4))
    for parameter in stages[0].exit.parameters():
        parameter.normal_(generator=generator)
    net = MultiExitNet(stages, 4, image_shape[0]).eval()
    graph = build_graph(net, (image_shape[1], image_shape[2]))
    if not any(isinstance(node.operator, tuple(OWN.values())) for node in graph.nodes):
        found = ", ".join(node.operator.kind for node in graph.nodes)
        raise ExeuntError(f"{type(module).__name__} becomes no registered operator, but {found}")
    (wanted,) = net(images)
    rows = [run_stream(plan_stream(graph, 4), image)[0] for image in images]
    for how, made in (("whole", interpret(graph, images)[0]), ("row by row", torch.stack(rows))):
        far = float((made - wanted).abs().max() / wanted.abs().max())
        if not far <= _TOLERANCE:
            raise ExeuntError(f"{type(module).__name__}: its operator is {far:.2g} off, run {how}")
