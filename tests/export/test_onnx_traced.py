"""Networks with attention: stages that torch writes, in the folder and the runner of all others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from exeunt.backbone import attach_exits
from exeunt.data import Transform
from exeunt.errors import ExeuntError
from exeunt.export.onnx import OnnxModel, open_stages, write_onnx, write_stages
from exeunt.export.onnx.int8 import quantize_stages
from exeunt.graph import UnloweredStage, build_graph, interpret
from exeunt.inference import infer
from exeunt.net import MultiExitNet
from exeunt.policies import Confidence
from exeunt.runner import StagedModel

SIZE = (16, 14)


class Attention(nn.Module):
    """Over the pixels of a map, behind a norm over channels that are last."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.attention = nn.MultiheadAttention(channels, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.norm(x.flatten(2).transpose(1, 2))
        attended, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        return x + attended.transpose(1, 2).reshape(x.shape)


@pytest.fixture(scope="module")
def net() -> MultiExitNet:
    """Two convolutions, attention, and another convolution; an exit behind each."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3, 2, 1), Attention(6), nn.Conv2d(6, 8, 3, 1, 1), Attention(8)]
    net = attach_exits(nn.Sequential(*layers), [0, 1, 2], 4, image_shape=(3, *SIZE)).eval()
    with torch.no_grad():
        for stage in net.stages:
            stage.exit.classifier.weight.normal_()
        for stage, logits in zip(net.stages, net(torch.randn(64, 3, *SIZE)), strict=True):
            stage.exit.classifier.weight *= 2 / logits.std(0).mean()
            stage.exit.classifier.bias -= 2 * logits.mean(0) / logits.std(0).mean()
    return net


def test_only_stages_without_a_plain_form_are_one_operator(net: MultiExitNet) -> None:
    graph = build_graph(net, SIZE, whole_stages=True)
    kinds = [[type(node.operator) is UnloweredStage for node in s.nodes] for s in graph.stages]
    assert kinds == [[False] * 3, [True] * 2, [False] * 3, [True] * 2]
    assert graph.exit_macs == tuple(info.macs for info in net.exit_info(SIZE))
    x = torch.randn(3, 3, *SIZE)
    for mine, theirs in zip(interpret(graph, x), net(x), strict=True):
        torch.testing.assert_close(mine, theirs)
    weights = sum(tensor.numel() for _, tensor in graph.weights())
    assert weights == sum(parameter.numel() for parameter in net.parameters())


def test_images_leave_alike(net: MultiExitNet, tmp_path: Path) -> None:
    x = torch.randn(24, 3, *SIZE)
    graph, policy = build_graph(net, SIZE, whole_stages=True), Confidence(0.6)
    model = OnnxModel("mine", graph, Transform(SIZE), [*"abcd"], policy, "f", single=True)
    write_onnx(model, tmp_path / "net")
    found, expected = StagedModel(tmp_path / "net").predict(x.numpy()), infer(net, x, policy)
    assert len(set(expected.exit_index.tolist())) >= 3
    assert found.exit_index.tolist() == expected.exit_index.tolist()
    assert found.class_index.tolist() == expected.logits.argmax(1).tolist()
    assert found.rows == expected.rows
    session = onnxruntime.InferenceSession(tmp_path / "net" / "net.onnx")
    for image, index in zip(x.numpy(), found.exit_index, strict=True):
        _, left = session.run(["logits", "exit_index"], {"image": image[None]})
        assert left.item() == index


def test_stages_name_the_same_things_as_all_others(net: MultiExitNet) -> None:
    graph = build_graph(net, SIZE, whole_stages=True)
    for k, stage in enumerate(write_stages(graph, {"fingerprint": "f"})):
        assert {one.name for one in stage.model.graph.input} == {*stage.inputs}
        assert [one.name for one in stage.model.graph.output] == [stage.logits, *stage.gives]
        facts = {one.key: one.value for one in stage.model.metadata_props}
        assert facts == {"fingerprint": "f", "stage": str(k + 1)}
        assert {opset.domain: opset.version for opset in stage.model.opset_import} == {"": 18}
        onnx.checker.check_model(stage.model, full_check=True)


def test_in_int8(net: MultiExitNet) -> None:
    x = torch.randn(16, 3, *SIZE)
    graph = build_graph(net, SIZE, whole_stages=True)
    stages = quantize_stages(graph, write_stages(graph, {}), [x.numpy()])
    found = list(open_stages(graph.image, stages).forward(x.numpy()))
    for mine, theirs in zip(found, net(x), strict=True):
        wanted = theirs.detach().numpy()
        assert np.abs(mine - wanted).max() < 0.1 * np.abs(wanted).max()
        assert (mine != wanted).any()


def test_c_refuses_in_one_line(net: MultiExitNet) -> None:
    with pytest.raises(ExeuntError, match=r"stages\.1\.trunk\.1.*: no plain operator for") as error:
        build_graph(net, SIZE)
    assert "\n" not in str(error.value)


class Untraceable(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.special.bessel_j0(x)


def test_what_torch_cannot_write_is_named() -> None:
    layers = nn.Sequential(nn.Conv2d(3, 6, 3), Untraceable())
    net = attach_exits(layers, [0], 4, image_shape=(3, *SIZE))
    graph = build_graph(net, SIZE, whole_stages=True)
    with pytest.raises(ExeuntError, match=r"stages\.1: torch cannot write it as ONNX \(.*bessel"):
        write_stages(graph, {})
