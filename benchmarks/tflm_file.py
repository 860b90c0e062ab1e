"""Quantised networks as .tflite files: the integers that exeunt computes with, in TFLite's words.

Weights, biases, scales and zeros are carried over as they are. Two things differ. Scores have 8
bits and not 16, since TFLite's matrices give what they take. And TFLite pads a filter of stride 2
on an even map behind the map, PyTorch before it: with `mirrored`, images and filters are turned by
180 degrees, which makes the one of the other and changes no score; without, the map is padded by
an operator of its own, as converters write it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flatbuffers
import numpy as np
import torch
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema
from torch import Tensor

from exeunt.errors import ExeuntError
from exeunt.graph import Node
from exeunt.quantize import QuantizedGraph
from exeunt.quantize.operators import (
    IntegerAverage,
    IntegerConv,
    IntegerLinear,
    IntegerSum,
    Weighted,
)
from exeunt.quantize.scale import INT8, SPARE_BITS, Scale

VERSION, IDENTIFIER = 3, b"TFL3"
DTYPES = {np.dtype(np.int8): schema.TensorType.INT8, np.dtype(np.int32): schema.TensorType.INT32}
ACTIVATIONS = {
    None: schema.ActivationFunctionType.NONE,
    "relu": schema.ActivationFunctionType.RELU,
    "relu6": schema.ActivationFunctionType.RELU6,
}


def write_tflite(quantized: QuantizedGraph, *, mirrored: bool) -> bytes:
    """A file that takes an int8 image (1, H, W, C) and gives int8 scores (1, K). The tensors of the
    graph come first in it, in their order.

    Args:
        quantized: a net of one exit, of convolutions (plain or depthwise), additions, a mean and a
            matrix.
        mirrored: whether images are going to be turned by 180 degrees.

    Raises:
        ExeuntError: for another operator, naming it, and for a net of several exits.
    """
    graph = quantized.graph
    if len(graph.stages) != 1:
        raise ExeuntError(f"the net has {len(graph.stages)} exits; a .tflite file is for one")
    file = _File(quantized, mirrored)
    for node in graph.nodes:
        write = _WRITERS.get(type(quantized.operators[node.output]))
        if write is None:
            raise ExeuntError(f"{node.module}: {node.operator.kind} has no form in .tflite here")
        write(file, node, quantized.operators[node.output])
    return file.packed(graph.image, graph.stages[0].logits)


def score_scale(quantized: QuantizedGraph) -> Scale:
    """Of the scores in 8 bits: they reach as far as those in 16."""
    fine = quantized.logit_scale(0)
    return Scale.symmetric(fine.scale * fine.limits[1], INT8)


class _File:
    """Tensors and operators so far; every tensor of the graph has its number by name."""

    def __init__(self, quantized: QuantizedGraph, mirrored: bool) -> None:
        self.graph, self.mirrored = quantized.graph, mirrored
        self.scales = {**quantized.scales, self.graph.stages[0].logits: score_scale(quantized)}
        self.buffers, self.tensors = [schema.BufferT()], []
        self.codes: dict[int, schema.OperatorCodeT] = {}
        self.operators: list[schema.OperatorT] = []
        self.number = {name: self.map(name, shape) for name, shape in self.graph.shapes.items()}

    def map(self, name: str, shape: tuple[int, ...]) -> int:
        """A tensor (C, H, W) or (C,) of the scale of `name`, channels last."""
        scale = self.scales[name]
        sizes = [1, *shape[1:], shape[0]]
        return self._tensor(name, sizes, schema.TensorType.INT8, [scale.scale], [scale.zero])

    def constant(self, name: str, values: Tensor, dtype: Any, **quantization: Any) -> int:
        """A tensor of constants; `scales` and `axis` for those that have one scale per channel."""
        array = np.ascontiguousarray(values.numpy().astype(dtype))
        self.buffers.append(schema.BufferT(data=array.reshape(-1).view(np.uint8)))
        scales = quantization.get("scales", [])
        return self._tensor(
            name, list(array.shape), DTYPES[array.dtype], scales, [0] * len(scales),
            quantization.get("axis", 0), len(self.buffers) - 1,
        )  # fmt: skip

    def _tensor(
        self, name: str, shape: list[int], dtype: int, scales: list[float], zeros: list[int],
        axis: int = 0, buffer: int = 0,
    ) -> int:  # fmt: skip
        quantization = schema.QuantizationParametersT(
            scale=scales, zeroPoint=zeros, quantizedDimension=axis
        )
        self.tensors.append(schema.TensorT(shape, dtype, buffer, name, quantization))
        return len(self.tensors) - 1

    def add(self, kind: str, options: Any, inputs: list[int], output: int) -> None:
        """An operator, by its name in TFLite; its options tell their own type."""
        code = getattr(schema.BuiltinOperator, kind)
        old = min(code, schema.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES)
        self.codes.setdefault(code, schema.OperatorCodeT(old, builtinCode=code))
        self.operators.append(
            schema.OperatorT(
                opcodeIndex=list(self.codes).index(code),
                inputs=inputs,
                outputs=[output],
                builtinOptionsType=getattr(
                    schema.BuiltinOptions, type(options).__name__.removesuffix("T")
                ),
                builtinOptions=options,
            )
        )

    def packed(self, image: str, scores: str) -> bytes:
        net = schema.SubGraphT(
            self.tensors, [self.number[image]], [self.number[scores]], self.operators
        )
        model = schema.ModelT(VERSION, list(self.codes.values()), [net], "exeunt", self.buffers)
        builder = flatbuffers.Builder()
        builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
        return bytes(builder.Output())

    def weighted(self, node: Node, operator: Weighted, weight: Tensor, axis: int) -> list[int]:
        """The constants of what sums up products, its weights as TFLite lays them out."""
        taken, given = self.scales[node.inputs[0]].scale, operator.scale.scale
        pairs = zip(operator.factor.multipliers, operator.factor.shifts, strict=True)
        steps = [m * 2.0 ** (SPARE_BITS - 32 - s) * given / taken for m, s in pairs]
        bias = operator.bias + operator.zero_in * operator.weight.flatten(1).sum(1)
        sums = [step * taken for step in steps]
        return [
            self.constant(f"{node.output} weight", weight, np.int8, scales=steps, axis=axis),
            self.constant(f"{node.output} bias", bias, np.int32, scales=sums),
        ]


def _conv(file: _File, node: Node, operator: IntegerConv) -> None:
    weight = operator.weight.flip(2, 3) if file.mirrored else operator.weight
    source, padding = _padded(file, node, operator)
    window = {
        "padding": padding,
        "strideW": operator.stride[1],
        "strideH": operator.stride[0],
        "fusedActivationFunction": _activation(node),
        "dilationWFactor": operator.dilation[1],
        "dilationHFactor": operator.dilation[0],
    }
    if operator.groups == 1:
        kind, options = "CONV_2D", schema.Conv2DOptionsT(**window)
        constants = file.weighted(node, operator, weight.permute(0, 2, 3, 1), axis=0)
    elif operator.groups == len(weight) == file.graph.shapes[node.inputs[0]][0]:
        kind = "DEPTHWISE_CONV_2D"
        options = schema.DepthwiseConv2DOptionsT(**window, depthMultiplier=1)
        constants = file.weighted(node, operator, weight.permute(1, 2, 3, 0), axis=3)
    else:
        raise ExeuntError(f"{node.module}: {operator.groups} groups have no form in .tflite here")
    file.add(kind, options, [source, *constants], file.number[node.output])


def _padded(file: _File, node: Node, operator: IntegerConv) -> tuple[int, int]:
    """The map that a filter reads, and how TFLite is told to pad it: as it is, or an operator
    before it does.
    """
    name = node.inputs[0]
    channels, *sizes = file.graph.shapes[name]
    sides, same = [], True
    for size, out, kernel, stride, dilation, before in zip(
        sizes, file.graph.shapes[node.output][1:], operator.kernel, operator.stride,
        operator.dilation, operator.padding, strict=True,
    ):  # fmt: skip
        reach = (out - 1) * stride + (kernel - 1) * dilation + 1
        after = reach - size - before
        if after < 0 and file.mirrored:
            raise ExeuntError(f"{node.module} leaves out the end of its map; mirrored, none can")
        pair = (after, before) if file.mirrored else (before, max(after, 0))
        total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
        same &= pair == (total // 2, total - total // 2)
        sides.append(pair)
    if same:
        return file.number[name], schema.Padding.SAME
    if any(map(any, sides)):
        (top, bottom), (left, right) = sides
        shape = (channels, sizes[0] + top + bottom, sizes[1] + left + right)
        amounts = file.constant(
            f"{node.output} padding",
            torch.tensor([(0, 0), (top, bottom), (left, right), (0, 0)]),
            np.int32,
        )
        padded = file.map(name, shape)
        file.add("PAD", schema.PadOptionsT(), [file.number[name], amounts], padded)
        return padded, schema.Padding.VALID
    return file.number[name], schema.Padding.VALID


def _linear(file: _File, node: Node, operator: IntegerLinear) -> None:
    options = schema.FullyConnectedOptionsT(_activation(node))
    constants = file.weighted(node, operator, operator.weight, axis=0)
    file.add(
        "FULLY_CONNECTED", options, [file.number[node.inputs[0]], *constants],
        file.number[node.output],
    )  # fmt: skip


def _sum(file: _File, node: Node, operator: IntegerSum) -> None:
    options = schema.AddOptionsT(_activation(node))
    file.add("ADD", options, [file.number[name] for name in node.inputs], file.number[node.output])


def _average(file: _File, node: Node, operator: IntegerAverage) -> None:
    axes = file.constant(f"{node.output} axes", torch.tensor([1, 2]), np.int32)
    file.add(
        "MEAN", schema.ReducerOptionsT(), [file.number[node.inputs[0]], axes],
        file.number[node.output],
    )  # fmt: skip


def _activation(node: Node) -> int:
    return ACTIVATIONS[getattr(node.operator, "act", None)]


_WRITERS: dict[type, Callable[[_File, Node, Any], None]] = {
    IntegerAverage: _average,
    IntegerConv: _conv,
    IntegerLinear: _linear,
    IntegerSum: _sum,
}
