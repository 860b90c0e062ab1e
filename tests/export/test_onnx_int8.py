"""Stages in int8: what is in integers, what is not, and how near they come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor

from exeunt.export.onnx import OnnxNet, StageModel, open_stages, write_stages
from exeunt.export.onnx.int8 import kept_modules, quantize_stages
from exeunt.graph import Graph, build_graph
from exeunt.net import MultiExitNet


def images(size: int = 32) -> Tensor:
    return torch.randn(32, 3, size, size, generator=torch.Generator().manual_seed(0))


Made = Callable[..., tuple[Graph, list[StageModel]]]


@pytest.fixture
def made(settled: Callable[..., MultiExitNet]) -> Made:
    """From the name of a network to its graph and its stages in int8."""

    def make(
        name: str, recurrent: bool = False, **arguments: Any
    ) -> tuple[Graph, list[StageModel]]:
        x = images()
        graph = build_graph(settled(name, x, **arguments), 32)
        return graph, quantize(graph, x, recurrent)

    return make


def quantize(graph: Graph, x: Tensor, recurrent: bool = False) -> list[StageModel]:
    batches = [part.numpy() for part in x.split(8)]
    return quantize_stages(graph, write_stages(graph, {"a": "b"}), batches, recurrent=recurrent)


def producers(stage: StageModel) -> dict[str, onnx.NodeProto]:
    return {name: node for node in stage.model.graph.node for name in node.output}


def in_integers(stage: StageModel, kind: str, kept: Sequence[str] = ()) -> list[bool]:
    """Of every node of a kind, outside what is kept, whether it reads what was rounded."""
    by = producers(stage)
    within = tuple(f"{name}/" for name in kept)
    nodes = [
        node
        for node in stage.model.graph.node
        if node.op_type == kind and not f"{node.name}/".startswith(within)
    ]
    return [
        all(by[name].op_type == "DequantizeLinear" for name in node.input[:2] if name in by)
        and any(name in by and by[name].op_type == "DequantizeLinear" for name in node.input)
        for node in nodes
    ]


NETS: list[tuple[str, dict[str, Any]]] = [
    ("rex_mobilenetv2_035", {"rex_form": "paper"}),
    ("densenetbc_cifar", {"depth": 22}),
    ("ranet_cifar10", {"width": 4, "growth": 4, "step": 1, "exit_width": 8}),
]


@pytest.mark.parametrize(("name", "arguments"), NETS, ids=lambda value: str(value))
def test_it_is_near_and_takes_any_batch(
    name: str, arguments: dict[str, Any], settled: Callable[..., MultiExitNet]
) -> None:
    x = images()
    net = settled(name, x, **arguments)
    graph = build_graph(net, 32)
    stages = quantize(graph, x)
    found = OnnxNet(open_stages(graph.image, stages, threads=1), name)
    with torch.no_grad():
        expected = torch.stack(net(x))
        for batch in (1, 5, 32):
            scores = torch.stack(found(x[:batch]))
            off = (scores - expected[:, :batch]).square().mean().sqrt()
            assert 0 < off < 0.35  # of logits whose deviation is 1
    for stage in stages:
        onnx.checker.check_model(stage.model, full_check=True)
        assert [(one.domain, one.version) for one in stage.model.opset_import] == [("", 18)]
        assert {one.key: one.value for one in stage.model.metadata_props} == {
            "a": "b",
            "stage": str(stages.index(stage) + 1),
        }
        for value in (*stage.model.graph.input, *stage.model.graph.output):
            assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
            assert value.type.tensor_type.shape.dim[0].dim_param == "batch"
        assert all(in_integers(stage, "Conv", kept_modules(graph)))
        assert all(in_integers(stage, "Gemm", kept_modules(graph)))


@torch.no_grad()
def test_mingru_is_near(settled: Callable[..., MultiExitNet]) -> None:
    """Over all images, and the same for one and for five of them: the first is further off."""
    x = images()
    net = settled("rex_mobilenetv2_035", x, rex_form="mingru")
    graph = build_graph(net, 32)
    found = OnnxNet(open_stages(graph.image, quantize(graph, x), threads=1), "mingru")
    expected, scores = torch.stack(net(x)), torch.stack(found(x))
    assert 0 < (scores - expected).square().mean().sqrt() < 0.35
    for batch in (1, 5):
        apart = torch.stack(found(x[:batch])) - scores[:, :batch]
        assert apart.square().mean().sqrt() < 0.05


@pytest.mark.parametrize("recurrent", [False, True])
def test_rex_stays_or_goes(recurrent: bool, made: Made) -> None:
    graph, stages = made("rex_mobilenetv2_035", recurrent, rex_form="paper")
    assert kept_modules(graph) == ["stages.0.trunk.stem.conv", "stages.0.trunk.rex"]
    assert set(in_integers(stages[0], "MatMul")) == {recurrent}
    assert [all(in_integers(stage, "Conv")) for stage in stages] == [recurrent] + 5 * [True]


@pytest.mark.parametrize("recurrent", [False, True])
def test_mingru_stays_or_goes(recurrent: bool, made: Made) -> None:
    graph, stages = made("rex_mobilenetv2_035", recurrent, rex_form="mingru")
    assert kept_modules(graph) == ["stages.0.trunk.stem.conv", "stages.0.trunk.rex.rex"]
    nodes = [node for node in stages[0].model.graph.node if node.op_type == "Gemm"]
    found = dict(zip((node.name for node in nodes), in_integers(stages[0], "Gemm"), strict=True))
    inside = [whole for name, whole in found.items() if name.startswith("stages.0.trunk.rex.rex/")]
    assert {*inside} == {recurrent}
    assert [all(in_integers(stage, "Conv")) for stage in stages] == [recurrent] + 5 * [True]


def test_a_boundary_has_one_scale(made: Made) -> None:
    """What a stage rounds its output to is what the next rounds its input to."""
    _, stages = made("mobilenetv2_035")
    for stage, after in pairwise(stages):
        (name,) = stage.gives
        assert after.inputs == (name,)
        out = producers(stage)[name]
        assert out.op_type == "DequantizeLinear"
        (entry,) = (n for n in after.model.graph.node if name in n.input)
        assert entry.op_type == "QuantizeLinear"
        for given, taken in zip(out.input[1:], entry.input[1:], strict=True):
            assert constant(stage, given) == pytest.approx(constant(after, taken), rel=1e-6)


def constant(stage: StageModel, name: str) -> np.ndarray:
    (found,) = (one for one in stage.model.graph.initializer if one.name == name)
    return numpy_helper.to_array(found)


def test_weights_have_a_scale_for_each_channel(made: Made) -> None:
    graph, stages = made("mobilenetv2_035")
    node = next(n for n in graph.nodes if n.operator.kind == "Conv")
    conv = next(n for n in stages[0].model.graph.node if n.op_type == "Conv")
    unpack = producers(stages[0])[conv.input[1]]
    integers, scale, zero = (constant(stages[0], name) for name in unpack.input)
    weight = node.constants["weight"].numpy()
    assert integers.dtype == np.int8
    assert not zero.any()
    assert scale.shape == weight.shape[:1]
    off = np.abs(integers * scale[:, None, None, None] - weight)
    assert (off <= scale[:, None, None, None] * 0.501).all()
    assert np.abs(integers).reshape(len(integers), -1).max(1).tolist() == [127] * len(integers)


def test_the_same_images_give_the_same_bytes(made: Made) -> None:
    first, second = (
        [one.model.SerializeToString(deterministic=True) for one in made("mobilenetv2_035")[1]]
        for _ in range(2)
    )
    assert first == second


def test_a_network_of_stages_has_a_fingerprint_of_its_own(made: Made) -> None:
    graph, stages = made("mobilenetv2_035")
    chain = open_stages(graph.image, stages, threads=1)
    one, other = OnnxNet(chain, "one"), OnnxNet(chain, "other")
    assert (one.num_exits, one.num_classes) == (len(stages), 4)
    assert not torch.equal(one.state_dict()["identity"], other.state_dict()["identity"])
