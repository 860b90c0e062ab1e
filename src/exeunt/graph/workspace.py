"""Memory of operators' own: what one keeps between rows, and what it needs while it makes one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from exeunt.graph.fuse import InvertedResidual, PreactivatedConv, filters
from exeunt.graph.graph import Graph, Node
from exeunt.graph.operator import Shape
from exeunt.graph.operators import (
    Composite,
    Conv,
    GlobalAverage,
    GridPool,
    Linear,
    is_taken_in,
)
from exeunt.graph.rows import row_count
from exeunt.graph.views import Parts, is_whole
from exeunt.ops.recurrence import CELLS
from exeunt.ops.renet import ReNet2d
from exeunt.ops.rex import ReX2d

AGAIN_BLOCK = 16  # channels that are expanded together where not all are


def kept_bytes(graph: Graph, node: Node, element_bytes: int) -> int:
    """What an operator keeps between rows, in bytes.

    A sum takes 4 bytes, whatever the elements are; the states of ReX take 2 at least. An inverted
    residual keeps the expanded rows that a later row reads again. The row that is new is expanded
    pixel by pixel, into the places that the oldest row leaves, so that of it no more than the width
    of the kernel is needed besides, and one filtered pixel.
    """
    operator, taken = node.operator, graph.shapes[node.inputs[0]]
    if isinstance(operator, GlobalAverage):
        return 4 * taken[0]
    if isinstance(operator, GridPool):
        return 4 * taken[0] * operator.grid[1] * operator.under_way(taken[1])
    if isinstance(operator, InvertedResidual) and operator.expand is not None:
        if operator.recompute:
            return 0
        kernel, stride = operator.depthwise.kernel, operator.depthwise.stride
        held = max(kernel[0] - stride[0], 0)
        pixels = held * (taken[2] + kernel[0] - held) + 1
        return pixels * operator.depthwise.groups * element_bytes
    if isinstance(operator, Composite) and isinstance(operator.module, ReX2d):
        return _rex_numbers(operator.module, taken[1], taken[2]) * max(element_bytes, 2)
    if isinstance(operator, Composite) and is_taken_in(operator.module):
        assert isinstance(operator.module, ReNet2d)
        return ReNetPlaces.of(operator.module, taken, element_bytes).kept_bytes
    return operator.kept_bytes(taken, element_bytes)


def scratch_bytes(
    graph: Graph,
    node: Node,
    element_bytes: int,
    segments: Mapping[str, Parts],
) -> int:
    """What an operator needs while it makes, or takes in, one row, and no longer; in bytes.

    Where the input of a convolution lies in several places, or is scaled on the way, it gathers the
    pixels that make one pixel of the output: as many as the kernel has, of C channels; and so do
    dilated ones and those in groups. ReX gathers one pixel, a matrix all of a map, whose rows lie
    apart. What treats channels apart reads them where they lie. An inverted residual filters into
    one expanded pixel; for one that keeps nothing see `recompute_numbers`.

    Args:
        graph: that the node belongs to.
        node: whose operator it is.
        element_bytes: of a number, 4 for float32 and 1 for int8.
        segments: what `segments_of` says of the graph.
    """
    operator, channels = node.operator, graph.shapes[node.inputs[0]][0]
    gathered = 0 if is_whole(segments[node.inputs[0]], graph) else channels
    if isinstance(operator, Conv):
        if filters(operator, channels, graph.shapes[node.output][0]):
            return 0
        apart = operator.groups > 1 or operator.dilation != (1, 1)
        return (channels if apart else gathered) * math.prod(operator.kernel) * element_bytes
    if isinstance(operator, PreactivatedConv):
        return channels * math.prod(operator.conv.kernel) * element_bytes
    if isinstance(operator, InvertedResidual) and operator.recompute:
        width, given = graph.shapes[node.inputs[0]][2], graph.shapes[node.output][2]
        return recompute_numbers(operator, width, given)[1] * element_bytes
    if isinstance(operator, InvertedResidual) and operator.expand is None:
        return operator.depthwise.groups * element_bytes
    first = segments[node.inputs[0]][0].tensor
    if isinstance(operator, Linear) and row_count(graph.shapes[first]) > 1:
        gathered = channels
    if isinstance(operator, (Linear, Composite)):
        return gathered * element_bytes
    return 0


@dataclass(frozen=True)
class ReNetPlaces:
    """What a ReNet that takes in rows keeps of every patch: the state of the sweep down, and what
    the sweep up is going to read, over which that writes its state. That is the patch's pixels or
    what these add to gates, whichever is less. For gates there is one row of patches besides.

    Attributes:
        patch_bytes: of the pixels of a patch.
        pixels: whether pixels are kept.
        record_bytes: of what is kept of a patch, a multiple of 4.
        kept_bytes: of all.
    """

    patch_bytes: int
    pixels: bool
    record_bytes: int
    kept_bytes: int

    @classmethod
    def of(cls, renet: ReNet2d, taken: Shape, element_bytes: int) -> ReNetPlaces:
        """For maps of shape `taken` of so many bytes a number; states and gates have 2 or more."""
        patch_bytes = renet.in_channels * math.prod(renet.patch_size) * element_bytes
        state_bytes = renet.hidden * max(element_bytes, 2)
        pixels = patch_bytes <= 3 * state_bytes
        other = max(patch_bytes, state_bytes) if pixels else 3 * state_bytes
        record_bytes = -(-(state_bytes + other) // 4) * 4
        rows, columns = (
            -(-length // size) for length, size in zip(taken[1:], renet.patch_size, strict=True)
        )
        row_bytes = 0 if pixels else columns * patch_bytes
        return cls(patch_bytes, pixels, record_bytes, rows * columns * record_bytes + row_bytes)


def recompute_numbers(operator: InvertedResidual, width: int, given: int) -> tuple[int, int]:
    """How an inverted residual goes about it that keeps nothing: channels that it expands and
    filters at a time, and numbers that it needs besides.

    Either all channels of a window and one filtered pixel, or those of a block, and a filtered row.

    Args:
        operator: that is meant.
        width: of its input.
        given: width of its output.
    """
    hidden, (height, across) = operator.depthwise.groups, operator.depthwise.kernel
    window = height * min(across, width)
    by_pixel = (hidden, (window + 1) * hidden)
    by_block = (AGAIN_BLOCK, window * AGAIN_BLOCK + given * hidden)
    return by_block if hidden > AGAIN_BLOCK and by_block[1] < by_pixel[1] else by_pixel


def _rex_numbers(rex: ReX2d, height: int, width: int) -> int:
    """Column sweeps under way for all patches that overlap, and row summaries of one patch."""
    rows, columns = rex.windows(height, width)
    under_way = -(-rows.size // rows.hop)
    across = -(-columns.size // columns.hop)
    sweeps = (under_way * columns.lines + across) * CELLS[rex.cell].states
    return (sweeps + rows.size * columns.out) * rex.hidden1
