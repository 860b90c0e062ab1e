"""One graph with `If`: it decides as the runner does, and what it skips is not run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor

from exeunt import runner
from exeunt.data import Transform
from exeunt.errors import ExeuntError
from exeunt.export.onnx import OnnxModel, write_onnx, write_stages
from exeunt.export.onnx.builder import Builder
from exeunt.export.onnx.decision import Memory, decide
from exeunt.export.onnx.int8 import quantize_stages
from exeunt.export.onnx.single import single_graph
from exeunt.graph import Graph, build_graph
from exeunt.inference import infer
from exeunt.net import MultiExitNet
from exeunt.policies import Policy, parse_policy

Settled = Callable[..., MultiExitNet]
SPECS = (
    "confidence:0.4",
    "confidence:0.9/0.5/0.3,t=1.5/0.7/1",
    "confidence:inf/0.3",
    "margin:0.2",
    "margin:0.1,t=2.5",
    "entropy:1.2",
    "entropy:-inf/1.3/1.5/0.8",
    "consistency:1",
    "consistency:3",
    "consistency:1+confidence:0.4",
    "consistency:2+margin:0.1/0.2/0.3/0.1+entropy:1.5",
)


def session(model: onnx.ModelProto, **options: Any) -> onnxruntime.InferenceSession:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    for name, value in options.items():
        setattr(settings, name, value)
    data = model.SerializeToString()
    return onnxruntime.InferenceSession(data, settings, providers=["CPUExecutionProvider"])


def decisions(policy: Policy, exits: int, outputs: int) -> onnxruntime.InferenceSession:
    """A graph of decisions alone: logits of all exits in, who would leave at each out."""
    build, memory, says = Builder(), dict[str, Any](), []
    names = [f"logits_{k}" for k in range(exits)]
    known: Memory = memory
    for k, name in enumerate(names):
        build.within(f"exit_{k}")
        leave, known = decide(build, policy, k, name, known)
        says.append(build.add("Identity", leave))
    graph = helper.make_graph(
        build.nodes,
        "decisions",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, outputs]) for n in names],
        [helper.make_tensor_value_info(n, TensorProto.BOOL, [1]) for n in says],
        list(build.constants.values()),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return session(model)


@pytest.mark.parametrize("spec", [*SPECS, "consistency:1,eta=0.5", "consistency:2,eta=1"])
def test_decisions_are_those_of_the_runner(spec: str) -> None:
    rng = np.random.default_rng(0)
    outputs = 1 if "eta" in spec else 5
    stream = rng.normal(0, 1 if outputs == 1 else 1.5, (5, 300, outputs)).astype(np.float32)
    stream[:, :50] = np.round(stream[:, :50])  # borderline
    policy, memory, expected = runner.Policy(spec), [], []
    for k, logits in enumerate(stream):
        leave, memory = policy.observe(k, logits, memory)
        expected.append(leave)
    graph = decisions(parse_policy(spec), len(stream), outputs)
    for n in range(stream.shape[1]):
        feeds = {f"logits_{k}": logits[n : n + 1] for k, logits in enumerate(stream)}
        found = [bool(one[0]) for one in graph.run(None, feeds)]
        assert found == [bool(leave[n]) for leave in expected]
    assert 0 < np.mean(expected) < 1


def test_other_policies_are_named() -> None:
    class Odd:
        spec = "odd:1"

    with pytest.raises(ExeuntError, match=r"policy 'odd:1': in one graph .* not 'odd:1'"):
        decide(Builder(), Odd(), 0, "logits", {})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(32, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("rex_mobilenetv2_035", {}),
        ("ranet_cifar10", {"width": 4, "growth": 4, "step": 1, "exit_width": 8}),
        ("mobilenetv2_035", {"collaborative": True}),
    ],
    ids=str,
)
def test_networks(name: str, arguments: dict[str, Any], images: Tensor, settled: Settled) -> None:
    net = settled(name, images, **arguments)
    graph = build_graph(net, 32)
    stages = write_stages(graph, {"a": "b"})
    for spec in ("confidence:0.5", "consistency:1", "full"):
        policy = parse_policy(spec)
        one = single_graph(graph, stages, policy)
        assert {fact.key: fact.value for fact in one.metadata_props} == {"a": "b", "policy": spec}
        running, expected = session(one), infer(net, images, policy)
        assert spec == "full" or len(set(expected.exit_index.tolist())) > 1
        for n in range(0, len(images), 4):
            logits, exit_index = running.run(None, {graph.image: images[n : n + 1].numpy()})
            assert exit_index.tolist() == [expected.exit_index[n]]
            assert np.abs(logits[0] - expected.logits[n].numpy()).max() < 1e-3


def ran(model: onnx.ModelProto, image: Tensor, place: Path) -> tuple[int, set[str], set[str]]:
    """The exit taken, and by onnxruntime's own profile the stages and operators that ran."""
    running = session(model, enable_profiling=True, profile_file_prefix=str(place / "profile"))
    _, (exit_index,) = running.run(None, {"image": image[None].numpy()})
    events = json.loads(Path(running.end_profiling()).read_text())
    nodes = [one for one in events if one.get("cat") == "Node"]
    stages = {one["name"].partition("/")[0] for one in nodes if one["name"].startswith("stage_")}
    return int(exit_index), stages, {one["args"].get("op_name", "") for one in nodes}


def early_and_late(graph: Graph, stages: Any, images: Tensor) -> tuple[onnx.ModelProto, Any, Any]:
    """A graph, an image that leaves it at the first exit and one that goes to the last."""
    model = single_graph(graph, stages, parse_policy("confidence:0.5"))
    running = session(model)
    taken = [int(running.run(None, {"image": x[None].numpy()})[1][0]) for x in images]
    return model, images[taken.index(0)], images[taken.index(len(stages) - 1)]


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_what_is_skipped_is_not_run(
    dtype: str, images: Tensor, tmp_path: Path, settled: Settled
) -> None:
    graph = build_graph(settled("rex_mobilenetv2_035", images), 32)
    stages = write_stages(graph, {})
    if dtype == "int8":
        stages = quantize_stages(graph, stages, [images.numpy()])
    model, early, late = early_and_late(graph, stages, images)
    assert ran(model, early, tmp_path)[:2] == (0, {"stage_1"})
    exit_index, parts, kinds = ran(model, late, tmp_path)
    assert exit_index == 5
    assert parts == {f"stage_{k}" for k in range(1, 7)}
    assert ("QLinearConv" in kinds) == (dtype == "int8")
    assert ("QGemm" in kinds) == (dtype == "int8")


def test_it_lies_beside_the_stages(images: Tensor, tmp_path: Path, settled: Settled) -> None:
    graph = build_graph(settled("mobilenetv2_035", images, exits=[2, 4]), 32)
    policy = parse_policy("confidence:0.5")
    made = OnnxModel("tiny", graph, Transform((32, 32)), list("abcd"), policy, "f")
    assert write_onnx(made, tmp_path / "without")["single"] is None
    assert not (tmp_path / "without" / "net.onnx").exists()
    said = write_onnx(replace(made, single=True), tmp_path / "with")["single"]
    assert said["inputs"] == ["image"]
    assert said["outputs"] == ["logits", "exit_index"]
    running = session(onnx.load(tmp_path / "with" / said["file"]))
    expected = runner.StagedModel(tmp_path / "with").predict(images.numpy())
    for n, image in enumerate(images):
        logits, exit_index = running.run(None, {"image": image[None].numpy()})
        assert exit_index[0] == expected.exit_index[n]
        assert np.abs(logits[0] - expected.logits[n]).max() < 1e-5
