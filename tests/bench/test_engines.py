"""Every engine gives PyTorch's scores, and stops where images leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from exeunt.bench import ENGINES, RefusedError, Workload, missing, plain, set_batch_statistics
from exeunt.bench.check import open_checked
from exeunt.bench.engine import Array, Engine, OneByOne
from exeunt.collaboration import collaborate
from exeunt.errors import ExeuntError
from exeunt.models import create_model
from exeunt.net import MultiExitNet

THOSE = (
    "torch",
    pytest.param("compile", marks=pytest.mark.slow),
    "onnxruntime",
    "openvino",
    "litert",
    "executorch",
    "ncnn",
    "c",
)


def engine_of(name: str) -> Engine:
    absent = missing(ENGINES[name])
    if absent:
        pytest.skip(f"{', '.join(absent)} not installed")
    return ENGINES[name]


@pytest.mark.parametrize("name", THOSE)
def test_scores_are_those_of_pytorch(
    name: str, mobilenet: Workload, two_blocks: Workload, tmp_path: Path
) -> None:
    workload = two_blocks if name == "compile" else mobilenet
    opened = open_checked(engine_of(name), workload, "float32", 1, tmp_path)
    with torch.inference_mode():
        expected = workload.net(workload.inputs[:1])
    for _ in range(2):
        opened.start()
        for k, logits in enumerate(expected):
            np.testing.assert_allclose(opened.step(k), logits.numpy(), rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", ["torch", "onnxruntime", "openvino", "litert", "executorch", "c"])
def test_rex_too(name: str, rex: Workload, tmp_path: Path) -> None:
    open_checked(engine_of(name), rex, "float32", 1, tmp_path)


@pytest.mark.parametrize("name", ["onnxruntime", "litert", "c"])
def test_integers_are_those_of_the_network_that_is_recorded(
    name: str, mobilenet: Workload, tmp_path: Path
) -> None:
    opened = open_checked(engine_of(name), mobilenet, "int8", 1, tmp_path)
    with torch.inference_mode():
        wanted = mobilenet.net(mobilenet.inputs[:1])
        recorded = opened.exits(mobilenet.inputs[:1])
    opened.start()
    for k, (logits, same) in enumerate(zip(wanted, recorded, strict=True)):
        found = opened.step(k)
        np.testing.assert_allclose(found, same.numpy(), rtol=0, atol=1e-5)
        assert abs(found - logits.numpy()).max() > 0


class Counting:
    """Counts the rows that stages run on."""

    def __init__(self, net: MultiExitNet) -> None:
        self.rows = [0] * net.num_exits
        for k, stage in enumerate(net.stages):
            stage.register_forward_hook(self._counter(k))

    def _counter(self, k: int) -> Any:
        def count(module: object, given: object, found: Sequence[torch.Tensor]) -> None:
            self.rows[k] += len(found[0])

        return count


def test_a_batch_shrinks(rex: Workload, tmp_path: Path) -> None:
    opened: Any = ENGINES["torch"].open(rex, "float32", 1, tmp_path)
    count = Counting(opened._net)
    opened.batch([0, 2, 5, 2, 0])
    assert count.rows == [5, 3, 3, 1, 1, 1]


def test_a_batch_shrinks_in_onnxruntime(rex: Workload, tmp_path: Path) -> None:
    opened: Any = engine_of("onnxruntime").open(rex, "float32", 1, tmp_path)
    rows = [0] * 6
    for k, stage in enumerate(opened._model.chain.stages):

        def run(feeds: Any, k: int = k, before: Any = stage.session.run) -> Any:
            rows[k] += len(next(iter(feeds.values())))
            return before(feeds)

        stage.session.run = run
    opened.batch([0, 2, 5, 2, 0])
    assert rows == [5, 3, 3, 1, 1, 1]


def test_one_by_one_stops_too() -> None:
    class Diary(OneByOne):
        said = ""

        def take(self, picture: int) -> None:
            self.said += f" {picture}:"

        def step(self, k: int) -> Array:
            self.said += str(k)
            return np.zeros((1, 1), np.float32)

    diary = Diary()
    diary.batch([1, 0, 2])
    assert diary.said == " 0:01 1:0 2:012"


def test_wrong_scores_are_refused(mobilenet: Workload, tmp_path: Path) -> None:
    class Wrong:
        name, packages, install, dtypes = "wrong", (), "", ("float32",)

        def open(self, workload: Workload, *_: object) -> Any:
            other = replace(
                workload, net=set_batch_statistics(create_model(workload.name, 4), workload.inputs)
            )
            return ENGINES["torch"].open(other, "float32", 1, tmp_path)

    with pytest.raises(RefusedError, match="exit 1 are off by"):
        open_checked(Wrong(), mobilenet, "float32", 1, tmp_path)


def test_what_an_engine_cannot_do(mobilenet: Workload, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="int8 is not measured"):
        open_checked(ENGINES["torch"], mobilenet, "int8", 1, tmp_path)
    with pytest.raises(RefusedError, match="one thread, not on 2"):
        open_checked(ENGINES["c"], mobilenet, "float32", 2, tmp_path)


def test_c_for_a_compiler_that_does_not_know_its_machine(
    mobilenet: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exeunt.bench.c.FLAGS", ("-O3", "-march=of-somebody-else"))
    open_checked(ENGINES["c"], mobilenet, "float32", 1, tmp_path)
    monkeypatch.setattr("exeunt.bench.c.PORTABLE", ("-march=of-somebody-else",))
    with pytest.raises(RefusedError, match="of-somebody-else"):
        ENGINES["c"].open(mobilenet, "float32", 1, tmp_path / "other")


def test_ncnn_has_no_rex(rex: Workload, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="stage_1 that ncnn has not"):
        engine_of("ncnn").open(rex, "float32", 1, tmp_path)


@pytest.mark.parametrize("name", ["mobilenetv2_035", "rex_mobilenetv2_035", "msdnet_cifar10"])
def test_plain_is_the_last_exit_alone(name: str) -> None:
    torch.manual_seed(0)
    net = create_model(name, 4).eval()
    images = torch.randn(2, 3, 32, 32)
    alone = plain(net)
    with torch.no_grad():
        (logits,) = alone(images)
        torch.testing.assert_close(logits, net(images)[-1])
    assert alone.num_exits == 1
    assert alone.exit_info(32)[0].macs < net.exit_info(32)[-1].macs


def test_exits_that_are_read_cannot_be_left_out() -> None:
    net = collaborate(create_model("mobilenetv2_035", 4))
    with pytest.raises(ExeuntError, match="no plain form"):
        plain(net)


def test_plain_costs_what_the_ordinary_network_does() -> None:
    ordinary = create_model("mobilenetv2_035", 4, exits="last")
    alone = plain(create_model("mobilenetv2_035", 4))
    assert alone.exit_info(64)[0].macs == ordinary.exit_info(64)[0].macs


def test_random_networks_are_alive(mobilenet: Workload) -> None:
    with torch.no_grad():
        for logits in mobilenet.net(mobilenet.inputs):
            assert logits.std() > 0.01
    assert not mobilenet.net.training
    norms = [m for m in mobilenet.net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} == {0.1}
