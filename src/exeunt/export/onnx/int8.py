"""Stages in int8, by onnxruntime's static quantisation.

Weights are int8, one scale for each output channel; activations uint8, with the ranges that they
have on calibration images. Other settings were measured with rex_mobilenetv2_075.imagenette, on
its 1,420 calibration images, ranges from 256 of them (`python benchmarks/int8_onnx.py`); of the
last exit, how many percent are right (89.4 in float32) and agree with float32, and milliseconds
for all exits of one image, one thread, on a processor with VNNI (1.8 in float32):

    this one                                 89.4   99.5   1.7
    one scale for each weight tensor         89.3   99.5   1.6
    weights of 7 bits (`reduce_range`)       89.2   99.5   1.7
    int8 activations                         89.4   99.5   2.1
    the same, zero being zero                89.3   99.7   2.3
    uint8 weights                            89.3   99.6   2.3
    ranges by entropy                        89.4   99.6   1.7
    ranges of 99.99 percent                  89.2   99.5   1.6
    ReX and the convolution before it too    89.2   99.5   2.1
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import onnx
from onnx import helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

from exeunt.export.onnx.net import open_stages
from exeunt.export.onnx.stages import StageModel
from exeunt.export.onnx.stem import stem_of
from exeunt.graph import Composite, Graph
from exeunt.ops.renet import ReNet2d
from exeunt.ops.rex import ReX2d
from exeunt.runner import Chain, State
from exeunt.runner.array import Array

_NORM = "LayerNormalization"  # has no integer form worth the name; torch writes it
_RECURRENT = (ReX2d, ReNet2d)
_INFERRED = ("onnx.quant.pre_process", "onnxruntime.quant")
"""Says that shapes are known and nothing is left to fold, which is so; else there are warnings."""


def quantize_stages(
    graph: Graph,
    stages: Sequence[StageModel],
    images: Sequence[Array],
    *,
    recurrent: bool = False,
) -> list[StageModel]:
    """Quantises each stage on what the stages before it hand over, in float32, on the images.

    Both sides of a boundary thus see the same numbers and get the same scale, so nothing is
    rounded twice. Inputs and outputs stay float32, and the batch stays free.

    Args:
        graph: that the stages were written from.
        stages: in float32.
        images: batches (N, C, H, W) to find ranges on; one of them is run at a time.
        recurrent: quantise `kept_modules` too, which is slower and loses more; otherwise they
            stay in float32.
    """
    kept = () if recurrent else tuple(kept_modules(graph))
    chain = open_stages(graph.image, stages)
    return [
        replace(stage, model=_quantized(stage.model, _Feeds(chain, k, images), kept))
        for k, stage in enumerate(stages)
    ]


def kept_modules(graph: Graph) -> list[str]:
    """What stays in float32: `recurrent_modules`, and a convolution before ReX that runs by the
    same kernels.
    """
    stem = stem_of(graph)
    nodes = [] if stem is None else list(stem.nodes)
    return list(dict.fromkeys([*nodes, *recurrent_modules(graph)]))


def recurrent_modules(graph: Graph) -> Iterator[str]:
    """Outputs of the modules that have recurrences, by which their ONNX nodes are called."""
    for node in graph.nodes:
        if isinstance(node.operator, Composite) and isinstance(node.operator.module, _RECURRENT):
            yield node.output


class _Feeds(CalibrationDataReader):  # type: ignore[misc]
    """What a stage reads, batch by batch."""

    def __init__(self, chain: Chain, k: int, images: Sequence[Array]) -> None:
        self._feeds = (_handed_over(chain, k, batch) for batch in images)

    def get_next(self) -> State | None:
        return next(self._feeds, None)


def _handed_over(chain: Chain, k: int, images: Array) -> State:
    """The inputs of stage k."""
    state = chain.begin(images)
    for before in range(k):
        _, state = chain.step(before, state)
    return {name: state[name] for name in chain.stages[k].inputs}


def _quantized(
    model: onnx.ModelProto, feeds: CalibrationDataReader, kept: tuple[str, ...]
) -> onnx.ModelProto:
    """One model, quantised but for the nodes that are or lie in what is kept."""
    marked = onnx.ModelProto()
    marked.CopyFrom(model)
    marked.metadata_props.add(key=_INFERRED[0], value=_INFERRED[1])
    inside = tuple(f"{name}/" for name in kept)
    floats = [
        node.name
        for node in model.graph.node
        if node.name in kept or node.name.startswith(inside) or node.op_type == _NORM
    ]
    with tempfile.TemporaryDirectory(prefix="exeunt-") as temporary:
        file = Path(temporary) / "stage.onnx"
        quantize_static(
            marked,
            file,
            feeds,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=floats,
        )
        found = onnx.load(file)
    facts = {one.key: one.value for one in model.metadata_props}
    helper.set_model_props(found, facts)
    found.producer_name, found.producer_version = model.producer_name, model.producer_version
    del found.graph.value_info[:]
    onnx.checker.check_model(found, full_check=True)
    return found
