"""Networks as one ONNX file for each stage: what PyTorch says, at every exit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from exeunt.backbone import attach_exits
from exeunt.data import Transform
from exeunt.errors import ExeuntError
from exeunt.export.onnx import OnnxModel, write_onnx, write_stages
from exeunt.graph import Graph, build_graph
from exeunt.inference import infer
from exeunt.models import create_model
from exeunt.net import MultiExitNet
from exeunt.ops.lift import LiftDownPool2d
from exeunt.ops.pooling import GatedPool2d, GFGP2d, MixedPool2d
from exeunt.ops.renet import ReNet2d
from exeunt.ops.rex import ReX2d
from exeunt.ops.rnnpool import RNNPool2d
from exeunt.policies import Confidence, Consistency
from exeunt.runner import StagedModel


def lively(net: MultiExitNet, x: Tensor) -> MultiExitNet:
    """Norms that spread what these images make of a net, and classifiers that tell them apart."""
    torch.manual_seed(1)
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, 0, 0.3)
    with torch.no_grad():
        net.train()(x)
    net.eval()
    with torch.no_grad():
        for stage, logits in zip(net.stages, net(x), strict=True):
            linear = [m for m in stage.modules() if isinstance(m, nn.Linear)][-1]
            linear.weight /= logits.std() + 1e-3
            assert linear.bias is not None
            linear.bias /= logits.std() + 1e-3
    return net


def run(graph: Graph, x: Tensor) -> list[np.ndarray]:
    """Logits of all exits, from sessions that see what the stages' models name."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    held: dict[str, Any] = {graph.image: x.numpy()}
    logits = []
    for stage in write_stages(graph, {}):
        onnx.checker.check_model(stage.model, full_check=True)
        assert {opset.domain for opset in stage.model.opset_import} == {""}
        data = stage.model.SerializeToString()
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        names = [stage.logits, *stage.gives]
        made = session.run(names, {name: held[name] for name in stage.inputs})
        held = {name: held[name] for name in stage.passed_on} | dict(zip(names, made, strict=True))
        logits.append(made[0])
    return logits


def assert_same(net: MultiExitNet, size: int | tuple[int, int]) -> tuple[Graph, Tensor]:
    """In batches of one and of five, to 1e-4 of logits whose deviation is 1."""
    torch.manual_seed(0)
    height, width = (size, size) if isinstance(size, int) else size
    x = torch.randn(24, net.in_chans, height, width)
    lively(net, x)
    x = x[:5]
    graph = build_graph(net, size)
    with torch.no_grad():
        expected = [exit_logits.numpy() for exit_logits in net(x)]
    for batch in (x, x[:1]):
        for found, logits in zip(run(graph, batch), expected, strict=True):
            assert logits.std() > 0.2
            assert np.abs(found - logits[: len(batch)]).max() < 1e-4
    return graph, x


def assert_nothing_is_merely_passed_on(graph: Graph, *, some: bool) -> None:
    """What a stage does not touch is not in its file; `some` says whether there is such a thing."""
    stages = write_stages(graph, {"fingerprint": "f"})
    assert some == any(stage.passed_on for stage in stages)
    known = {graph.image}
    for stage in stages:
        assert set(stage.inputs) <= known
        assert set(stage.passed_on) <= known
        names = {n for node in stage.model.graph.node for n in (*node.input, *node.output)}
        assert not (set(stage.passed_on) - set(stage.inputs)) & names
        known = set(stage.passed_on) | set(stage.gives)
    assert not known


NETS: list[tuple[str, int, dict[str, Any]]] = [
    ("mobilenetv2_035", 33, {}),
    ("rex_mobilenetv2_035", 64, {}),
    ("rex_resnet34", 32, {"exits": [1, 3, 6]}),
    ("resnet_cifar", 32, {"depth": 20}),
    ("densenetbc_cifar", 32, {"depth": 22}),
    (
        "msdnet_cifar10",
        32,
        {"base": 2, "step": 1, "blocks": 4, "width": 4, "growth": 2, "exit_width": 8},
    ),
    ("ranet_cifar10", 32, {"width": 4, "growth": 4, "step": 1, "exit_width": 8}),
]


@pytest.mark.parametrize(("name", "size", "arguments"), NETS, ids=lambda value: str(value))
def test_networks(name: str, size: int, arguments: dict[str, Any], tmp_path: Path) -> None:
    net = create_model(name, 10, **arguments)
    graph, x = assert_same(net, size)
    assert_nothing_is_merely_passed_on(graph, some=name.startswith("ranet"))
    for policy in (Confidence(0.3), Consistency(1)):
        names = [str(k) for k in range(10)]
        made = OnnxModel(name, graph, Transform((size, size)), names, policy, "f")
        write_onnx(made, tmp_path / "net")
        found, expected = StagedModel(tmp_path / "net").predict(x.numpy()), infer(net, x, policy)
        assert found.exit_index.tolist() == expected.exit_index.tolist()
        assert found.class_index.tolist() == expected.logits.argmax(1).tolist()
        assert found.rows == expected.rows


@pytest.mark.parametrize("head", ["mixed", "rex", "conv"])
def test_every_exit_head(head: str) -> None:
    assert_same(create_model("mobilenetv2_035", 4, exits=[2], exit_head=head), 40)


def test_exits_that_carry_logits_on() -> None:
    assert_same(create_model("mobilenetv2_035", 4, collaborative=True), 64)


def with_exits(*blocks: nn.Module) -> MultiExitNet:
    """A net of the user's own that starts with these."""
    channels = nn.Sequential(*blocks).eval()(torch.zeros(1, 3, 13, 12)).shape[1]
    backbone = nn.Sequential(
        *blocks, nn.Conv2d(channels, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU()
    )
    return attach_exits(backbone, [len(blocks)], 4, image_shape=(3, 13, 12))


@pytest.mark.parametrize(
    "block",
    [
        nn.Conv2d(3, 6, (3, 5), (2, 1), (1, 2), dilation=(1, 2), groups=3),
        nn.MaxPool2d(3, 2, 1, ceil_mode=True),
        nn.MaxPool2d(2, 3),
        nn.AvgPool2d(3, 2, 1),
        nn.AvgPool2d(3, 2, 1, ceil_mode=True),
        nn.AvgPool2d((3, 2), (2, 2), (1, 0), ceil_mode=True),
        nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
        nn.AdaptiveAvgPool2d((3, 2)),
        nn.AdaptiveAvgPool2d((5, 7)),
        nn.AdaptiveMaxPool2d(5),
        nn.Upsample((9, 17), mode="bilinear"),
        nn.Upsample((20, 7), mode="bilinear", align_corners=True),
        nn.Hardswish(),
        nn.Hardsigmoid(),
        nn.SiLU(),
        nn.ReLU6(),
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.SiLU()),
        nn.Sequential(nn.Sigmoid(), nn.Tanh()),
        nn.ZeroPad2d((1, 2, 0, 1)),
        nn.BatchNorm2d(3),
    ],
    ids=str,
)
def test_operators_one_by_one(block: nn.Module) -> None:
    assert_same(with_exits(block), (13, 12))


REX: list[dict[str, Any]] = [
    {"cell": "gru"},
    {"cell": "lstm"},
    {"cell": "rnn"},
    {"cell": "fastgrnn"},
    {"cell": "mingru"},
    {"cell": "mingru", "shared_directions": True, "use_rows": False},
    {"cell": "lstm", "shared_directions": True},
    {"shared_directions": True, "use_global": False},
    {"use_rows": False},
    {"use_cols": False},
    {"use_rows": False, "use_cols": False},
    {"use_rows": False, "use_global": False},
    {"padding": "replicate_out"},
    {"padding": (2, 1)},
    {"patch_size": (2, 5), "stride": (3, 2)},
    {"patch_size": (4, 1), "stride": (1, 3)},
    {"patch_size": 1, "stride": 2},
]


@pytest.mark.parametrize("settings", REX, ids=str)
def test_rex_in_all_its_forms(settings: dict[str, Any]) -> None:
    torch.manual_seed(2)
    layer = ReX2d(
        **({"in_channels": 3, "hidden1": 4, "hidden2": 2, "patch_size": 4, "stride": 3} | settings)
    )
    for parameter in layer.parameters():
        nn.init.normal_(parameter, 0, 0.7)
    assert_same(with_exits(layer), (13, 12))


@pytest.mark.parametrize(
    "module",
    [
        RNNPool2d(3, 4, 2, 4, 2),
        ReNet2d(3, 4, 2),
        ReNet2d(3, 3, (3, 5), cell="lstm"),
        MixedPool2d(3, 2),
        MixedPool2d(2, channels=3),
        GatedPool2d(3, 2),
        GatedPool2d(2, channels=3),
        GFGP2d(3, 3, 2),
        GFGP2d(3, 2, bound="softplus"),
        LiftDownPool2d(3),
        LiftDownPool2d(3, 3, depthwise=False),
    ],
    ids=lambda module: str(module).partition("(")[0],
)
def test_modules_that_stay_whole(module: nn.Module) -> None:
    for parameter in module.parameters():
        nn.init.normal_(parameter, 0, 0.7)
    assert_same(with_exits(module), (13, 12))


def test_what_has_no_onnx_form_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from exeunt.export.onnx import operators

    monkeypatch.setattr(operators, "WHOLE", {})
    monkeypatch.delitem(operators.WRITERS, operators.GlobalAverage)
    with pytest.raises(ExeuntError, match=r"stages\.0\.trunk\.rex\.rex: ReX2d has no ONNX form"):
        write_stages(build_graph(create_model("rex_mobilenetv2_035", 4), 32), {})
    with pytest.raises(ExeuntError, match=r"stages\.0\..*: GlobalAverage has no ONNX form"):
        write_stages(build_graph(create_model("mobilenetv2_035", 4), 32), {})
