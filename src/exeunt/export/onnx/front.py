"""A second way into a network that begins with a convolution and ReX: by exeunt's kernels.

The folder then holds, beside the first stage, its weights up to ReX and what comes after ReX. Where
exeunt is installed with its kernels, the runner takes these; elsewhere they are left alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from exeunt.export.onnx.stages import StageModel, stage_models
from exeunt.graph import Graph, Node
from exeunt.graph.operators import Conv, Whole
from exeunt.native.conv import LIMITS
from exeunt.native.front import CELL
from exeunt.ops.recurrence import FastGRNN
from exeunt.ops.rex import ReX2d, Window


@dataclass(frozen=True)
class Front:
    """The first two nodes of a network, apart.

    Attributes:
        says: what `exeunt.native.front.Front` is told of them.
        weights: theirs, safetensors.
        gives: name of the tensor that ReX gives.
        rest: the first stage without them.
    """

    says: dict[str, Any]
    weights: bytes
    gives: str
    rest: StageModel


def front_of(graph: Graph, facts: dict[str, str]) -> Front | None:
    """What the network begins with, or None if that is not for the kernels.

    Args:
        graph: of the net.
        facts: for the metadata of the rest.
    """
    found = _first_two(graph)
    if found is None:
        return None
    (conv, convolution), (rex, layer) = found
    size, maps = graph.shapes[graph.image], graph.shapes[conv.output]
    windows = zip(
        *(size[1:], convolution.padding, convolution.kernel, convolution.stride, maps[1:]),
        strict=True,
    )
    rows, columns = layer.windows(*maps[1:])
    says = {
        "conv": {
            "channels": size[0],
            "outputs": maps[0],
            **dict(zip(("down", "across"), ([*window, 0] for window in windows), strict=True)),
            "act": convolution.act,
        },
        "rex": {
            "cell": layer.cell,
            "hidden1": layer.hidden1,
            "hidden2": layer.hidden2,
            "branches": [layer.use_rows, layer.use_global, layer.use_cols],
            "down": _axis(rows, maps[1]),
            "across": _axis(columns, maps[2]),
        },
    }
    stages = replace(graph.stages[0], nodes=graph.stages[0].nodes[2:]), *graph.stages[1:]
    rest = next(stage_models(replace(graph, image=rex.output, stages=stages), facts))
    return Front(says, _weights(conv, layer), rex.output, rest)


def _first_two(graph: Graph) -> tuple[tuple[Node, Conv], tuple[Node, ReX2d]] | None:
    conv, rex, *others = graph.nodes
    convolution, whole = conv.operator, rex.operator
    if not (isinstance(convolution, Conv) and isinstance(whole, Whole)):
        return None
    if convolution.groups != 1 or convolution.dilation != (1, 1) or convolution.act not in LIMITS:
        return None
    if not isinstance(whole.module, ReX2d) or rex not in graph.stages[0].nodes[:2]:
        return None
    chained = conv.inputs == (graph.image,) and rex.inputs == (conv.output,)
    read = {name for node in others for name in node.inputs} | {s.logits for s in graph.stages}
    if not chained or read & {graph.image, conv.output}:
        return None
    return (conv, convolution), (rex, whole.module)


def _axis(window: Window, length: int) -> list[int]:
    axis = window.axis(length)
    return [getattr(axis, name) for name, _ in axis._fields_]


@torch.no_grad()
def _weights(conv: Node, layer: ReX2d) -> bytes:
    weight = conv.constants["weight"]
    bias = conv.constants.get("bias", weight.new_zeros(len(weight)))
    arrays = {"conv.weight": weight, "conv.bias": bias} | _cell("rnn1", layer.rnn1)
    if layer.use_rows or layer.use_cols:
        reverse = "_reverse" if layer.rnn2.bidirectional else ""
        arrays |= _cell("forward", layer.rnn2) | _cell("backward", layer.rnn2, reverse)
    if layer.use_global:
        arrays |= {"linear.weight": layer.linear.weight, "linear.bias": layer.linear.bias}
    return save(
        {
            name: array.detach().float().clone(memory_format=torch.contiguous_format)
            for name, array in arrays.items()
        }
    )


def _cell(name: str, module: nn.Module, way: str = "") -> dict[str, Tensor]:
    weights: dict[str, Tensor] = dict(module.named_parameters())
    if isinstance(module, FastGRNN):
        weights[f"bias_hh_l0{way}"] = torch.sigmoid(weights[f"mix_l0{way}"])
    return {f"{name}.{part}": weights[f"{part}_l0{way}"] for part in CELL}
