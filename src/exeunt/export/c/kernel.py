"""How the nodes of a generated model call the kernels of the runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import gt
from typing import Any

from torch import Tensor

from exeunt.errors import ExeuntError
from exeunt.export.c.source import CSource
from exeunt.graph.fuse import InvertedResidual, filters
from exeunt.graph.graph import Graph, Node
from exeunt.graph.operator import Shape
from exeunt.graph.operators import ChannelPool, Conv, GridPool, Pool, SharpPool, is_taken_in
from exeunt.graph.streamed import StreamedPlan
from exeunt.graph.views import is_whole
from exeunt.graph.workspace import ReNetPlaces, recompute_numbers
from exeunt.ops.recurrence import CELLS
from exeunt.ops.renet import ReNet2d
from exeunt.ops.rex import ReX2d, Window
from exeunt.quantize.operators import IntegerConv, IntegerPool

MAX_KERNEL, MAX_DILATION = 15, 255
MAX_HIDDEN, MAX_PATCH = 32, 32
MAX_GATES = 3 * MAX_HIDDEN


@dataclass(frozen=True)
class Kernel:
    """How a node is called.

    Attributes:
        name: of the runtime's file and function, `exn_conv_s8`.
        accumulates: whether it also takes in rows.
        spec: expression for its struct.
        parts: other files of the runtime that it calls, `exn_gru_s8`.
        own: the files of one that is not the runtime's, by name, with their text; headers among
            them are included where it is called, so that its functions and its struct are known.
    """

    name: str
    accumulates: bool
    spec: str
    parts: tuple[str, ...] = ()
    own: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        name: str,
        fields: Mapping[str, Any],
        source: CSource,
        number: int,
        *,
        accumulates: bool = False,
        parts: tuple[str, ...] = (),
        own: Mapping[str, str] | None = None,
    ) -> Kernel:
        """The kernel `name` for node `number`, with a struct of these fields, named alike."""
        spec = source.struct(name, f"spec_{number}", dict(fields))
        return cls(name, accumulates, f"&{spec}", parts, own or {})


def gathers(node: Node, plan: StreamedPlan, conv: Conv | IntegerConv) -> bool:
    """Whether a convolution has to gather what it reads.

    A dense one need not where that is one whole tensor, or, for a kernel of one pixel, a part of
    one; nor one that treats all channels apart.
    """
    if conv.groups > 1:
        shapes = plan.graph.shapes[node.inputs[0]], plan.graph.shapes[node.output]
        return not filters(conv, shapes[0][0], shapes[1][0])
    (parts,) = plan.reads(node)
    plain = is_whole(parts, plan.graph) or (len(parts) == 1 and conv.kernel == (1, 1))
    return not plain or conv.dilation != (1, 1)


def check_whole(node: Node, plan: StreamedPlan) -> None:
    """Refuses inputs in parts, for kernels that read one tensor.

    Raises:
        ExeuntError: naming the module and the parts.
    """
    for parts in plan.reads(node):
        if not is_whole(parts, plan.graph):
            names = ", ".join(part.tensor for part in parts)
            raise ExeuntError(
                f"{node.module}: no kernel for {node.operator.kind} of several tensors, or of "
                f"some channels of one: {names}"
            )


def flattened(node: Node, plan: StreamedPlan, weight: Tensor) -> Tensor:
    """The weights of a matrix (K, C H W) in the order in which pixels are read, channels last."""
    (parts,) = plan.reads(node)
    shape = plan.graph.shapes[parts[0].tensor]
    if len(shape) != 3:
        return weight
    channels = sum(part.channels for part in parts)
    return weight.view(-1, channels, *shape[1:]).permute(0, 2, 3, 1).flatten(1)


def window_fields(conv: Conv | IntegerConv, where: str) -> dict[str, int]:
    """Fields of `exn_window`.

    Args:
        conv: of any kind, not dilated.
        where: its module, for errors.

    Raises:
        ExeuntError: for a convolution that no kernel does.
    """
    height, width = conv.kernel
    if max(height, width) > MAX_KERNEL:
        raise ExeuntError(
            f"{where}: no kernel for a {height}x{width} convolution; up to "
            f"{MAX_KERNEL}x{MAX_KERNEL}"
        )
    return window_of(conv)


def gathered_fields(conv: Conv | IntegerConv, weight: Tensor, where: str) -> dict[str, int]:
    """Fields of the structs of gathered convolutions that are the same for all types of number.

    Raises:
        ExeuntError: for a dilation that no kernel does.
    """
    if max(conv.dilation) > MAX_DILATION:
        raise ExeuntError(
            f"{where}: no kernel for a convolution with dilation {conv.dilation}; up to "
            f"{MAX_DILATION}"
        )
    return {
        "channels": weight.shape[1] * conv.groups,
        "dilation_y": conv.dilation[0],
        "dilation_x": conv.dilation[1],
        "groups": conv.groups,
    }


def window_of(window: Conv | IntegerConv | Pool | IntegerPool) -> dict[str, int]:
    """Fields of `exn_window`, for what may be any size."""
    return {
        "height": window.kernel[0],
        "width": window.kernel[1],
        "stride_y": window.stride[0],
        "stride_x": window.stride[1],
        "top": window.padding[0],
        "left": window.padding[1],
    }


def sharp_window(pool: SharpPool, node: Node) -> dict[str, int]:
    """Fields of `exn_window` for a pool whose pixels have weights.

    Raises:
        ExeuntError: for windows that are larger than sums of 32 bits hold.
    """
    if pool.size > MAX_KERNEL:
        raise ExeuntError(
            f"{node.module}: no kernel for {pool.kind} with windows of {pool.size}; up to "
            f"{MAX_KERNEL}"
        )
    both = {"height": pool.size, "width": pool.size}
    return {**both, "stride_y": pool.stride, "stride_x": pool.stride, "top": 0, "left": 0}


def channels_at_once(node: Node, graph: Graph) -> int:
    """Channels that an inverted residual which keeps nothing expands at a time."""
    assert isinstance(node.operator, InvertedResidual)
    widths = graph.shapes[node.inputs[0]][2], graph.shapes[node.output][2]
    return recompute_numbers(node.operator, *widths)[0]


def channel_fields(node: Node, graph: Graph) -> dict[str, int]:
    """Fields of `exn_channel_pool`, in any type."""
    assert isinstance(node.operator, ChannelPool)
    return {
        "channels": graph.shapes[node.inputs[0]][0],
        "average": int(node.operator.of == "average"),
    }


def grid_fields(grid: GridPool, height: int) -> dict[str, int]:
    """Fields of pools of maps of this height into cells."""
    down, across = grid.grid
    return {
        "down": down,
        "across": across,
        "under_way": grid.under_way(height),
        "average": int(grid.of == "average"),
    }


def rex_fields(rex: ReX2d, height: int, width: int, where: str) -> dict[str, Any]:
    """Fields of the structs of ReX that are the same for all types of number.

    Args:
        rex: the operator.
        height: of its input.
        width: of its input.
        where: its module, for errors.

    Raises:
        ExeuntError: for sizes that no kernel does.
    """
    cell, sizes = CELLS[rex.cell], (rex.hidden1, rex.hidden2)
    most = min(MAX_HIDDEN, MAX_GATES // cell.gates), MAX_HIDDEN // cell.states
    if any(map(gt, (*sizes, max(rex.patch_size)), (*most, MAX_PATCH))):
        raise ExeuntError(
            f"{where}: no kernel for ReX with {rex.cell} states of {sizes} and patches of "
            f"{rex.patch_size}; up to {most} and {MAX_PATCH}"
        )
    rows, columns = rex.windows(height, width)
    if max(rows.lead, rows.trail) >= rows.size or max(columns.lead, columns.trail) >= columns.size:
        raise ExeuntError(
            f"{where}: no kernel for ReX with padding {rex.padding} beside patches of "
            f"{rex.patch_size}; less than a patch"
        )
    return {
        "down": _patches(rows, rex.stride[0]),
        "across": _patches(columns, rex.stride[1]),
        "use_rows": int(rex.use_rows),
        "use_columns": int(rex.use_cols),
    }


def renet_fields(renet: ReNet2d, taken: Shape, element_bytes: int, where: str) -> dict[str, Any]:
    """Fields of the structs of ReNet that are the same for all types of number.

    Args:
        renet: the operator.
        taken: shape of its input.
        element_bytes: of a number.
        where: its module, for errors.

    Raises:
        ExeuntError: for sizes or cells that no kernel does.
    """
    if not is_taken_in(renet):
        raise ExeuntError(f"{where}: no kernel for ReNet with {renet.cell}; gru has one")
    if renet.hidden > MAX_HIDDEN or (2 * renet.hidden > MAX_HIDDEN and renet.hidden % 4):
        raise ExeuntError(
            f"{where}: no kernel for ReNet with states of {renet.hidden}; up to {MAX_HIDDEN // 2}, "
            f"or multiples of 4 up to {MAX_HIDDEN}"
        )
    places = ReNetPlaces.of(renet, taken, element_bytes)
    (height, width), (_, rows, columns) = renet.patch_size, taken
    return {
        "record": places.record_bytes,
        "patch": places.patch_bytes // element_bytes,
        "down": -(-rows // height),
        "across": -(-columns // width),
        "height": height,
        "width": width,
        "top": -rows % height // 2,
        "left": -columns % width // 2,
        "keeps_pixels": int(places.pixels),
    }


def of_patches(renet: ReNet2d, weight: Tensor) -> Tensor:
    """Weights over patches (G, C h w) in the order in which pixels lie, channels last."""
    by_pixel = weight.view(len(weight), renet.in_channels, *renet.patch_size)
    return by_pixel.permute(0, 2, 3, 1).flatten(1)


def _patches(window: Window, stride: int) -> dict[str, int]:
    return {
        "size": window.size,
        "stride": stride,
        "hop": window.hop,
        "lead": window.lead,
        "under_way": -(-window.size // window.hop),
        "count": window.out,
        "lines": window.lines,
    }
