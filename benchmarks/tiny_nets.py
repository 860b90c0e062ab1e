"""Three networks that others plan memory for, in int8: what their rows take, and what less costs.

    python benchmarks/tiny_nets.py [--exits N]

They are MobileNetV2 x0.35 at 144 px, and MCUNet's for visual wake words at 80 px and for ImageNet
at 176 px (Lin et al. 2020, 2021), as msf-CNN (Huang et al., NeurIPS 2025) plans them: chains
without residual sums and without a classifier. Here a classifier of two classes ends them; with
`--exits`, N of them stand evenly by multiply-adds. The image's rows are left out, as there.

A line for each plan: bytes of the arena, the largest pair of a layer's input and output beside it,
and multiply-adds as a factor of the network's own.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from exeunt.chain import Block, chain
from exeunt.graph import Graph, build_graph, dial
from exeunt.net import MultiExitNet
from exeunt.ops.conv import ConvNormAct
from exeunt.ops.exits import make_exit

# pixels; channels of the stem; kernel, stride, expanded channels (0: none) and channels of blocks;
# channels of a last 1x1 convolution (0: none)
Row = tuple[int, int, int, int]
NETS: dict[str, tuple[int, int, tuple[Row, ...], int]] = {
    "mobilenetv2_035": (
        144,
        11,
        (
            *((3, 1, 11, 5), (3, 2, 30, 8), (3, 1, 48, 8), (3, 2, 48, 11), (3, 1, 66, 11)),
            *((3, 1, 66, 11), (3, 2, 66, 22), *((3, 1, 132, 22),) * 3, (3, 1, 132, 33)),
            *((3, 1, 198, 33), (3, 1, 198, 33), (3, 2, 198, 56), (3, 1, 336, 56), (3, 1, 336, 56)),
            (3, 1, 336, 112),
        ),
        448,
    ),
    "mcunetv2_vww_5fps": (
        80,
        16,
        (
            *((3, 1, 0, 8), (3, 2, 48, 16), (3, 1, 48, 16), (3, 1, 48, 16), (7, 2, 48, 24)),
            *((3, 1, 144, 24), (5, 1, 120, 24), (7, 2, 144, 40), (7, 1, 240, 40), (3, 1, 240, 48)),
            *((3, 1, 192, 48), (5, 2, 240, 96), (3, 1, 480, 96), (3, 1, 384, 96), (7, 1, 288, 160)),
        ),
        0,
    ),
    "mcunet_320kb": (
        176,
        16,
        (
            *((3, 1, 0, 8), (7, 2, 24, 16), (3, 1, 80, 16), (7, 1, 80, 16), (5, 1, 64, 16)),
            *((5, 2, 80, 24), (5, 1, 120, 24), (5, 1, 120, 24), (3, 2, 120, 40), (7, 1, 240, 40)),
            *((5, 1, 160, 40), (5, 1, 200, 48), (7, 1, 240, 48), (3, 1, 240, 48), (3, 2, 288, 96)),
            *((7, 1, 480, 96), (3, 1, 384, 96), (7, 1, 480, 160)),
        ),
        0,
    ),
}
MACS = {"mobilenetv2_035": 18_909_490, "mcunetv2_vww_5fps": 11_578_496, "mcunet_320kb": 81_625_520}
"""Of the chains alone, as published."""


def blocks_of(name: str) -> tuple[int, list[Block]]:
    """Height and width of the image, and the chain."""
    size, channels, rows, last = NETS[name]
    blocks = [Block("stem", ConvNormAct(3, channels, 3, stride=2), channels)]
    for i, (kernel, stride, hidden, out) in enumerate(rows):
        wide = hidden or channels
        parts: list[nn.Module] = [ConvNormAct(channels, wide)] if hidden else []
        parts.append(ConvNormAct(wide, wide, kernel, stride, wide))
        parts.append(ConvNormAct(wide, out, act=None))
        blocks.append(Block(f"block{i}", nn.Sequential(*parts), out))
        channels = out
    if last:
        blocks.append(Block("last", ConvNormAct(channels, last), last))
    return size, blocks


def with_exits(blocks: Sequence[Block], places: Sequence[int]) -> MultiExitNet:
    """The chain with an exit of two classes after these blocks, and after the last."""
    stages = chain(blocks, places, lambda k, channels: make_exit("pooled", channels, 2))
    return MultiExitNet(stages, 2).eval()


def even(blocks: Sequence[Block], size: int, count: int) -> list[int]:
    """Blocks after which `count` exits stand, evenly by multiply-adds, but for the last."""
    every = [info.macs for info in with_exits(blocks, range(len(blocks))).exit_info(size)]
    return [
        min(range(len(every) - 1), key=lambda i: abs(every[i] - k * every[-1] / count))
        for k in range(1, count)
    ]


def layer_by_layer(graph: Graph) -> int:
    """Bytes of the largest input and output of one operator, the image left out."""
    maps = [node for node in graph.nodes if graph.image not in node.inputs]
    sizes = {name: _size(shape) for name, shape in graph.shapes.items()}
    return max(sum(sizes[name] for name in (*node.inputs, node.output)) for node in maps)


def _size(shape: Sequence[int]) -> int:
    total = 1
    for part in shape:
        total *= part
    return total


def main() -> None:
    """Prints the plans of each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exits", type=int, default=1, metavar="N")
    exits = parser.parse_args().exits
    print(f"{'network':20} {'pixels':>6} {'layers':>8} {'arena':>8} {'factor':>7}")
    for name in NETS:
        size, blocks = blocks_of(name)
        graph = build_graph(with_exits(blocks, even(blocks, size, exits)), size)
        own, plain = sum(graph.macs.values()), layer_by_layer(graph)
        plans = dial(graph, 1, image=False)
        costs = [plan.graph.macs for plan in plans]
        for plan, macs in zip(plans, costs, strict=True):
            factor = sum(macs.values()) / own
            print(f"{name:20} {size:6} {plain:8,} {plan.arena_bytes:8,} {factor:7.3f}", flush=True)
        assert all(a.arena_bytes >= b.arena_bytes for a, b in pairwise(plans))


if __name__ == "__main__":
    main()
