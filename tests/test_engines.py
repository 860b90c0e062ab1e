"""OpenVINO in place of onnxruntime: the same answers, where it is installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from exeunt.data import Transform
from exeunt.export.onnx import OnnxModel, write_onnx
from exeunt.graph import build_graph
from exeunt.models import create_model
from exeunt.policies import parse_policy
from exeunt.runner import RunnerError, StagedModel


@pytest.fixture(scope="module")
def write(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    def make(name: str, **arguments: Any) -> Path:
        torch.manual_seed(0)
        net = create_model(name, 4, **arguments).eval()
        graph = build_graph(net, 32)
        folder: Path = tmp_path_factory.mktemp("onnx") / name
        policy = parse_policy("consistency:1")
        write_onnx(OnnxModel(name, graph, Transform((32, 32)), list("abcd"), policy, "f"), folder)
        return folder

    return make


IMAGES = np.random.default_rng(0).normal(size=(9, 3, 32, 32)).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("rex_mobilenetv2_035", {}), ("densenetbc_cifar", {"depth": 22})],
    ids=str,
)
def test_openvino_says_what_onnxruntime_says(
    name: str, arguments: dict[str, Any], write: Callable[..., Path]
) -> None:
    pytest.importorskip("openvino")
    folder = write(name, **arguments)
    one, other = (StagedModel(folder, 1, engine=engine) for engine in ("onnxruntime", "openvino"))
    for images in (IMAGES, IMAGES[:1]):
        expected = one.forward(images)
        assert np.abs(other.forward(images) - expected).max() < 1e-4 * max(
            1, np.abs(expected).max()
        )
        found, wanted = other.predict(images), one.predict(images)
        assert found.exit_index.tolist() == wanted.exit_index.tolist()
        assert found.class_index.tolist() == wanted.class_index.tolist()


def test_what_is_given_stays(write: Callable[..., Path]) -> None:
    """Answers do not change when the next image is run."""
    pytest.importorskip("openvino")
    model = StagedModel(write("mobilenetv2_035", exits=[2]), 1, engine="openvino")
    stage = model.chain.stages[0].session
    first = stage.run({"image": IMAGES[:1]})
    copies = {name: tensor.copy() for name, tensor in first.items()}
    stage.run({"image": IMAGES[1:2]})
    assert all(np.array_equal(first[name], copies[name]) for name in first)


def test_other_engines_are_named(write: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(RunnerError, match="'abacus' is none of onnxruntime, openvino"):
        StagedModel(tmp_path, engine="abacus")


def test_an_engine_that_is_not_installed_is_named(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(RunnerError, match="openvino is not installed"):
        StagedModel(write("mobilenetv2_035", exits=[2]), engine="openvino")


@pytest.mark.parametrize("at_once", [1, 2, 4, 100])
def test_a_batch_in_parts_says_the_same(write: Callable[..., Path], at_once: int) -> None:
    folder = write("mobilenetv2_035", exits=[2, 4])
    whole, parts = (StagedModel(folder, 1, at_once=n) for n in (9, at_once))
    expected, found = whole.predict(IMAGES), parts.predict(IMAGES)
    assert found.rows == expected.rows
    assert found.exit_index.tolist() == expected.exit_index.tolist()
    assert np.abs(found.logits - expected.logits).max() < 1e-5
    assert np.abs(parts.forward(IMAGES) - whole.forward(IMAGES)).max() < 1e-5
