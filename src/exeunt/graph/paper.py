"""Peak memory as the ReX and RNNPool papers count it, which no device has ever seen.

float32, one image, block by block, whatever lies inside a block; weights and the image are left
out, and so are maps that are made on the fly: what feeds ReX, and what a 1x1 convolution makes for
a pooling (Saha et al., NeurIPS 2020, appendix E.2). The rule by kind:

* an inverted residual: its input and its output, the expanded map being made channel by channel;
* a lifting pool: its output;
* a residual block: the larger of input and output, the sum being made in place;
* anything else: its largest output. A dense block's is its last layer's, which holds all before.

That the map of a 1x1 convolution counts where no pooling follows is read from their figure for
MobileNetV1, 3.06 MB: 112x112x64.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from exeunt.graph.graph import Graph, Node
from exeunt.graph.operators import Composite, Conv, GlobalAverage, GridPool, Pool
from exeunt.ops.conv import InvertedResidual
from exeunt.ops.lift import LiftDownPool2d
from exeunt.ops.residual import BasicBlock, PreactBlock
from exeunt.ops.rex import ReX2d

ELEMENT_BYTES = 4

POOLINGS = (Pool, GridPool, GlobalAverage)
INPUT_AND_OUTPUT = (InvertedResidual.__name__,)
OUTPUT = (LiftDownPool2d.__name__,)
INPUT_OR_OUTPUT = (BasicBlock.__name__, PreactBlock.__name__)


@dataclass(frozen=True)
class BlockPeak:
    """What the rule makes of one block.

    Attributes:
        block: its path.
        stage: that it lies in, counted from 0.
        counted: names of the tensors that the rule counts.
        size_bytes: of them.
    """

    block: str
    stage: int
    counted: tuple[str, ...]
    size_bytes: int


def paper_peak(graph: Graph) -> BlockPeak:
    """The block that needs most by the papers' rule; the first of several that are equal."""
    return max(block_peaks(graph), key=lambda peak: peak.size_bytes)


def block_peaks(graph: Graph, element_bytes: int = ELEMENT_BYTES) -> Iterator[BlockPeak]:
    """What the papers' rule makes of every block of the trunks, in order.

    Args:
        graph: of a whole net.
        element_bytes: of a number; the papers' are of 4.
    """
    on_the_fly = made_on_the_fly(graph)
    for k, stage in enumerate(graph.stages):
        trunk = (node for node in stage.nodes if ".exit" not in node.block)
        for block, group in groupby(trunk, key=lambda node: node.block):
            counted = _counted(graph, list(group), on_the_fly)
            size = sum(map(graph.elements, counted)) * element_bytes
            yield BlockPeak(block, k, counted, size)


def made_on_the_fly(graph: Graph) -> set[str]:
    """Names of the maps that do not count: ReX or poolings take them as they are made."""
    readers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    pooled = {
        node.output
        for node in graph.nodes
        if isinstance(node.operator, Conv)
        and node.operator.kernel == (1, 1)
        and node.output in readers
        and all(isinstance(reader.operator, POOLINGS) for reader in readers[node.output])
    }
    return pooled | feeds_rex(graph)


def feeds_rex(graph: Graph) -> set[str]:
    """Names of the maps that ReX reads."""
    return {
        node.inputs[0]
        for node in graph.nodes
        if isinstance(node.operator, Composite) and isinstance(node.operator.module, ReX2d)
    }


def _counted(graph: Graph, nodes: list[Node], on_the_fly: set[str]) -> tuple[str, ...]:
    first, last, kind = nodes[0].inputs[0], nodes[-1].output, nodes[0].block_kind
    if kind in INPUT_AND_OUTPUT:
        return first, last
    if kind in OUTPUT:
        return (last,)
    if kind in INPUT_OR_OUTPUT:
        return (max(first, last, key=graph.elements),)
    outputs = [node.output for node in nodes if node.output not in on_the_fly]
    return (max(outputs, key=graph.elements),) if outputs else ()
