"""The clock at every exit."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from exeunt.backbone import attach_exits
from exeunt.compiled import CompileError
from exeunt.errors import ExeuntError
from exeunt.net import MultiExitNet
from exeunt.profile import Latency, measure_latency

PAUSE_MS = 3.0


class Pause(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        time.sleep(PAUSE_MS / 1e3)
        return x


def slow_net() -> MultiExitNet:
    """Two stages, each of which sleeps."""
    backbone = nn.Sequential(nn.Conv2d(3, 2, 1), Pause(), nn.Conv2d(2, 2, 1), Pause())
    return attach_exits(backbone, [1], 2, image_shape=(3, 4, 4)).train()


def test_each_exit_waits_for_those_before_it() -> None:
    net, calls = slow_net(), []
    before = torch.get_num_threads()
    found = measure_latency(net, (4, 6), runs=5, warm_up=2, on_run=lambda: calls.append(1))
    assert found.median_ms[0] >= PAUSE_MS
    assert found.median_ms[1] >= found.median_ms[0] + PAUSE_MS
    for low, median, high in zip(found.low_ms, found.median_ms, found.high_ms, strict=True):
        assert low <= median <= high
    assert (found.runs, len(calls), found.threads, found.device) == (5, 7, 1, "cpu")
    assert found.processor
    assert torch.get_num_threads() == before
    assert net.training
    assert found.to_dict()["median_ms"] == list(found.median_ms)


def test_stages_are_compiled_in_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []

    def fake(module: nn.Module, **settings: Any) -> nn.Module:
        compiled.append((module, settings))
        return module

    monkeypatch.setattr(torch, "compile", fake)
    net = slow_net()
    found = measure_latency(net, 4, engine="compiled", runs=1, warm_up=0)
    assert found.engine == "compiled"
    assert [settings for _, settings in compiled] == [{"dynamic": False}] * 2
    assert not {module for module, _ in compiled} & {*net.modules()}


def test_a_machine_that_cannot_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    def fake(module: nn.Module, **settings: Any) -> nn.Module:
        class Broken(nn.Module):
            def forward(self, *state: Tensor) -> Tensor:
                raise RuntimeError("no compiler\nand more")

        return Broken()

    monkeypatch.setattr(torch, "compile", fake)
    with pytest.raises(CompileError, match=r"torch\.compile failed: no compiler$"):
        measure_latency(slow_net(), 4, engine="compiled", runs=1)


@pytest.mark.slow
def test_really_compiled(two_stages: MultiExitNet) -> None:
    found = measure_latency(two_stages, 8, engine="compiled", runs=3, warm_up=1)
    assert 0 < found.median_ms[0] < found.median_ms[1]


def test_a_mean_over_images_by_hand() -> None:
    """Figure 4 of the ReX paper: each exit's time, weighted by how many leave there."""
    times = (2.0, 4.0, 10.0)
    found = Latency("eager", "cpu", "x", 1, 3, times, times, times)
    assert found.mean_ms((0.5, 0.25, 0.25)) == 1 + 1 + 2.5


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"runs": 0}, "runs=0"),
        ({"threads": 0}, "threads=0"),
        ({"warm_up": -1}, "warm_up=-1"),
        ({"device": "abacus"}, "device 'abacus' cannot be used"),
    ],
)
def test_what_cannot_be_measured(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ExeuntError, match=message):
        measure_latency(slow_net(), 4, **wrong)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_on_a_gpu(two_stages: MultiExitNet) -> None:
    found = measure_latency(two_stages, 8, device="cuda", runs=3, warm_up=1)
    assert 0 < found.median_ms[0] < found.median_ms[1]
    assert next(two_stages.parameters()).device.type == "cpu"
