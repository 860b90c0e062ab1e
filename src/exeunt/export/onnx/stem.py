"""A second way into a network that begins with a convolution and ReX: by exeunt's kernels.

The folder then holds, beside the first stage, its weights up to ReX and what comes after ReX. Where
exeunt is installed with its kernels, the runner takes these; elsewhere they are left alone. The
kernels compute in float32, so in an int8 network the convolution and ReX stay in float32 too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnx
import torch
from onnx.utils import Extractor
from safetensors.torch import save
from torch import Tensor, nn

from exeunt.export.onnx.builder import value_of
from exeunt.export.onnx.stages import StageModel
from exeunt.graph import Graph, Node
from exeunt.graph.operators import Composite, Conv, Shape
from exeunt.native.conv import LIMITS
from exeunt.native.stem import CELL
from exeunt.ops.recurrence import FastGRNN, MinGRU
from exeunt.ops.rex import ReX2d, Window


@dataclass(frozen=True)
class Stem:
    """The first two nodes of a network, apart.

    Attributes:
        nodes: what they are called.
        says: what `exeunt.native.stem.Stem` is told of them.
        weights: theirs, safetensors.
        shape: (C, H, W) of what they give.
    """

    nodes: tuple[str, str]
    says: dict[str, Any]
    weights: bytes
    shape: Shape


def stem_of(graph: Graph) -> Stem | None:
    """What the network begins with, or None if that is not for the kernels."""
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
    nodes = conv.output, rex.output
    return Stem(nodes, says, _weights(conv, layer), graph.shapes[rex.output])


def rest_of(stage: StageModel, stem: Stem) -> tuple[str, onnx.ModelProto]:
    """The first stage from where its stem ends, and the name of what it reads there.

    Args:
        stage: in float32, or quantised but for the nodes of the stem.
        stem: of the same network.
    """
    (last,) = (node for node in stage.model.graph.node if node.name == stem.nodes[1])
    (gives,) = last.output
    whole = onnx.ModelProto()
    whole.CopyFrom(stage.model)
    whole.graph.value_info.append(value_of(gives, stem.shape))
    outputs = [one.name for one in whole.graph.output if one.name != gives]
    rest = Extractor(whole).extract_model([gives], outputs)
    rest.graph.name = whole.graph.name
    rest.producer_name = whole.producer_name
    del rest.graph.value_info[:]
    rest.metadata_props.extend(whole.metadata_props)
    onnx.checker.check_model(rest, full_check=True)
    return gives, rest


def _first_two(graph: Graph) -> tuple[tuple[Node, Conv], tuple[Node, ReX2d]] | None:
    nodes = [*graph.nodes]
    if len(nodes) < 2:
        return None
    conv, rex, *others = nodes
    convolution, whole = conv.operator, rex.operator
    if not (isinstance(convolution, Conv) and isinstance(whole, Composite)):
        return None
    plain = convolution.dilation == (1, 1) and convolution.groups == 1 and not convolution.trail
    if not plain or convolution.act not in LIMITS:
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
    if isinstance(module, MinGRU):
        weights[f"weight_hh_l0{way}"] = torch.empty(0, module.hidden_size)
        weights[f"bias_hh_l0{way}"] = torch.empty(0)
    return {f"{name}.{part}": weights[f"{part}_l0{way}"] for part in CELL}
