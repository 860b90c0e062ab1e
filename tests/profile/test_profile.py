"""Everything about a network, and the keys under which it goes into JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from exeunt.errors import ExeuntError
from exeunt.models import create_model
from exeunt.net import MultiExitNet
from exeunt.profile import CONVENTIONS, Latency, Profile, Shares, profile
from exeunt.profile.profile import _exit_parameters

SIZES = {
    "paper": {"total_bytes"},
    "memory-optimised": {"total_bytes", "macs", "cuts"},
    "layerwise": {
        *("total_bytes", "arena_bytes", "bound_bytes", "exit_bound_bytes", "without_image_bytes"),
    },
    "streamed": {
        *("total_bytes", "arena_bytes", "bound_bytes", "exit_bound_bytes", "row_window_bytes"),
        "least_bytes",
    },
}


@pytest.fixture(scope="module")
def found(two_stages: MultiExitNet) -> Profile:
    return profile(two_stages, 8, name="mine")


def test_keys_are_stable(found: Profile) -> None:
    """Those of docs/memory.md."""
    ms = (1.0, 2.0)
    found = replace(found, latencies=(Latency("eager", "cpu", "x", 1, 5, ms, ms, ms),))
    record = json.loads(json.dumps(found.with_shares(Shares("full", 10, (0.5, 0.5))).to_dict()))
    assert list(record) == [
        *("kind", "model", "image_size", "parameters", "macs", "exits", "memory", "latency"),
        "mean",
    ]
    assert set(record["macs"]) == {
        *("total", "per_patch_total", "by_operator", "by_module", "by_stage", "uncounted"),
    }
    assert list(record["memory"]) == list(CONVENTIONS)
    for convention, by_dtype in record["memory"].items():
        assert list(by_dtype) == ["float32", "int8"]
        for sizes in by_dtype.values():
            assert set(sizes) == SIZES[convention] | {"exit_bytes", "peak"}
            assert set(sizes["peak"]) == {"module", "live_bytes", "holders"}
            assert set(sizes["peak"]["holders"][0]) == {"name", "bytes"}
    assert set(record["memory"]["memory-optimised"]["int8"]["cuts"][0]) == {
        *("block", "total_bytes", "macs"),
    }
    for k, row in enumerate(record["exits"]):
        assert set(row) == {
            *("exit", "module", "parameters", "macs", "per_patch_macs", "peak_bytes", "latency_ms"),
        }
        assert (row["exit"], row["module"]) == (k + 1, f"stages.{k}.exit")
        assert list(row["peak_bytes"]) == list(CONVENTIONS)
    assert set(record["latency"]["eager"]) == {
        *("device", "processor", "threads", "runs", "median_ms", "low_ms", "high_ms"),
    }
    assert record["mean"] == {
        "policy": "full",
        "samples": 10,
        "exit_shares": [0.5, 0.5],
        "macs": sum(row["macs"] for row in record["exits"]) / 2,
        "latency_ms": {"eager": 1.5},
    }


def test_numbers_by_hand(found: Profile) -> None:
    assert found.model == "mine"
    assert found.exit_parameters == (4 * 28 + 5 * 5, 4 * 28 + 5 * 5 + 6 * 17 + 5 * 7)
    assert found.counts.exits == (64 * 4 * 27 + 20, 64 * 4 * 27 + 16 * 6 * 16 + 50)
    assert found.memory("layerwise", "int8").total_bytes == 448
    assert found.memory("paper").total_bytes == 4 * 256
    assert found.memory("streamed", "int8").row_window_bytes == 72
    assert found.mean_macs is None


def test_only_what_is_asked_for_and_in_this_order(two_stages: MultiExitNet) -> None:
    told: list[str] = []
    some = profile(two_stages, (8, 8), conventions=["paper"], dtypes=["int8"], on_part=told.append)
    assert told == ["graph", "paper, int8"]
    assert [(m.convention, m.dtype) for m in some.memories] == [("paper", "int8")]
    assert some.model == "MultiExitNet"
    with pytest.raises(ExeuntError, match="no memory by streamed for float32; there is paper int8"):
        some.memory("streamed")


def test_parameters_that_stages_share_count_once() -> None:
    net = create_model("rex_mobilenetv2_035", 4, exits=[2])
    net.stages[1].exit = net.stages[0].exit
    counted = _exit_parameters(net)
    assert counted[-1] == sum(parameter.numel() for parameter in net.parameters())


def test_the_net_is_left_as_it_was(two_stages: MultiExitNet) -> None:
    two_stages.train()
    before = {name: tensor.clone() for name, tensor in two_stages.state_dict().items()}
    profile(two_stages, 8, conventions=["layerwise"], dtypes=["int8"])
    assert two_stages.training
    for name, tensor in two_stages.state_dict().items():
        torch.testing.assert_close(tensor, before[name])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"conventions": ["paper", "guess"]}, "unknown convention 'guess'; one of paper, memory-"),
        ({"dtypes": ["int4"]}, "dtype='int4'; did you mean int8"),
        ({"image_size": (8, 0)}, "images of 8 x 0 pixels"),
    ],
)
def test_what_cannot_be_asked(
    two_stages: MultiExitNet, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ExeuntError, match=message):
        profile(two_stages, **{"image_size": 8, **arguments})


def test_a_network_that_is_too_deep_for_its_images() -> None:
    net = create_model("densenet121", 3, layers=(1, 1, 1, 1), growth=2, width=8)
    with pytest.raises(ExeuntError, match=r"cannot take images of 8 x 8 pixels: .*too small"):
        profile(net, 8)


def test_as_many_shares_as_exits(found: Profile) -> None:
    with pytest.raises(ExeuntError, match="mine has 2 exits, the recording 3"):
        found.with_shares(Shares("full", 1, (0.5, 0.25, 0.25)))
