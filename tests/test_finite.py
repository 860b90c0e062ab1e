"""NaN and infinities are refused wherever weights or logits come in, by name."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from exeunt.backbone import attach_exits
from exeunt.calibrate import fit_temperatures
from exeunt.errors import ExeuntError
from exeunt.evaluate import ExitTable, exit_rows, load_table, record, replay, save_table
from exeunt.finite import all_finite
from exeunt.graph import build_graph
from exeunt.inference import infer
from exeunt.models import create_model, load_weights, read_info, save_weights
from exeunt.models.weights import WeightsInfo
from exeunt.net import MultiExitNet
from exeunt.policies import Confidence, Full, Policy, parse_policy
from exeunt.quantize import observe_ranges

INFO = WeightsInfo(
    architecture="mobilenetv2_035",
    arguments={"num_classes": 3, "in_chans": 3},
    task="classification",
    class_names=["a", "b", "c"],
    transform={},
    policy="full",
    metrics={},
    split={},
    calibration_hashes=[],
    data={},
    command="",
    versions={},
)


class Exploding(nn.Module):
    """Leaves a map alone, but for an image whose first pixel is above 100."""

    def forward(self, x: Tensor) -> Tensor:
        return x + (x[:, :1, :1, :1] - 100).relu() * 1e38 * 1e38


def net_of_two_exits() -> MultiExitNet:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(3, 4, 1), Exploding(), nn.Conv2d(4, 4, 1))
    nn.init.ones_(backbone[0].weight)
    return attach_exits(backbone, [0], 3, image_shape=(3, 4, 4)).eval()


def images(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 3, 4, 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64])
def test_all_finite(dtype: torch.dtype) -> None:
    largest = torch.finfo(dtype).max
    assert all_finite(torch.tensor([largest, largest, 0], dtype=dtype))
    for value in (math.nan, math.inf, -math.inf):
        assert not all_finite(torch.tensor([0, value, largest], dtype=dtype))
    assert not all_finite(torch.tensor([math.inf, -math.inf], dtype=dtype))
    assert all_finite(torch.tensor([2**62]))


def test_a_weights_file_is_refused_by_tensor_and_count(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    net = create_model("mobilenetv2_035", 3)
    save_weights(path, net.state_dict(), INFO)
    tensors = load_file(path)
    name, other = "stages.1.trunk.block1.expand.conv.weight", "stages.0.exit.classifier.bias"
    name = next(n for n in tensors if n.startswith("stages.1.trunk") and n.endswith(".weight"))
    tensors[name].view(-1)[:3] = torch.tensor([math.nan, math.inf, math.nan])
    tensors[other][0] = -math.inf
    save_file(tensors, path, {"exeunt": INFO.to_json()})
    first = min(name, other, key=list(tensors).index)
    counted = {
        name: rf"2 NaN and 1 infinite of {tensors[name].numel()} numbers",
        other: "1 infinite of 3 numbers",
    }
    with pytest.raises(ExeuntError, match=rf"w\.safetensors: {first} has {counted[first]} and 1 "):
        load_weights(path)
    assert read_info(path) == INFO
    with pytest.raises(ExeuntError, match="weights must be finite"):
        save_weights(tmp_path / "again.safetensors", tensors, INFO)
    assert not (tmp_path / "again.safetensors").exists()


def test_weights_that_float16_does_not_hold_are_not_stored(tmp_path: Path) -> None:
    tensors = create_model("mobilenetv2_035", 3).state_dict()
    name = next(name for name in tensors if name.endswith("running_var"))
    tensors[name][0] = 1e6
    half = replace(INFO, storage="float16")
    with pytest.raises(ExeuntError, match=rf"{name} reaches 1e\+06, more than the 65504 of float"):
        save_weights(tmp_path / "w.safetensors", tensors, half)


@pytest.mark.parametrize("policy", [Full(), parse_policy("consistency:2")])
def test_a_live_net_names_exit_and_image(policy: Policy) -> None:
    net = net_of_two_exits()
    with pytest.raises(ExeuntError, match=r"exit 2: the logits of image 3 of 4 are not finite"):
        infer(net, images(1, 2, 200, 3), policy)
    with pytest.raises(ExeuntError, match=r"exit 2: the logits of c\.png .*; the weights, or the"):
        infer(net, images(1, 2, 200, 200), policy, ["a.png", "b.png", "c.png", "d.png"])
    with pytest.raises(ExeuntError, match=r"exit 1: the logits of image 1 of 1 .*3 NaN of 3"):
        infer(net, images(math.nan), policy)


def test_rows_that_left_before_do_not_change_the_name() -> None:
    class Parity(Full):
        """Lets every image go at once whose logits are small."""

        def observe(
            self, k: int, logits: Tensor, memory: tuple[Tensor, ...]
        ) -> tuple[Tensor, tuple[Tensor, ...]]:
            return logits.abs().amax(1) < 1, memory

    net = net_of_two_exits()
    with torch.no_grad():
        for stage in net.stages:
            stage.exit.classifier.weight.fill_(1)
    net.stages[0].trunk[0].bias.data.zero_()
    with pytest.raises(ExeuntError, match="logits of image 4 of 4"):
        infer(net, images(0, 0.01, 5, 200), Parity())


def test_recording_names_exit_and_sample() -> None:
    class Batch:
        images = images(1, 200)
        targets = torch.zeros(2, dtype=torch.int64)
        indices = torch.tensor([5, 3])

    with pytest.raises(ExeuntError, match=r"exit 2: the logits of s3 are not finite"):
        record(
            net_of_two_exits(),
            [Batch()],
            exit_macs=(1, 2),
            task="classification",
            names=[f"s{k}" for k in range(6)],
            split="test",
            data_fingerprint="d",
        )


def test_recorded_logits_name_exit_and_sample(tmp_path: Path) -> None:
    logits = torch.randn(3, 40, 7)
    logits[1, 30] = math.inf
    logits[1, 35, 2] = math.nan
    table = ExitTable(
        logits=logits,
        targets=torch.arange(40) % 7,
        task="classification",
        exit_macs=(1, 2, 3),
        names=tuple(f"{k}.png" for k in range(40)),
        split="calibration",
        weights_fingerprint="w",
        data_fingerprint="d",
    )
    save_table(tmp_path / "t.exits", table)
    says = r"exit 2: the logits of 30\.png are not finite \(7 infinite of 7 numbers\), and so are"
    for ask in (
        exit_rows,
        fit_temperatures,
        lambda one: replay(one, Confidence(0.5)),
        lambda one: replay(one, parse_policy("consistency:1")),
    ):
        with pytest.raises(ExeuntError, match=says):
            ask(load_table(tmp_path / "t.exits"))


def test_ranges_of_int8_name_the_tensor() -> None:
    backbone = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1))
    net = attach_exits(backbone, [0], 3, image_shape=(3, 4, 4)).eval()
    graph = build_graph(net, 4)
    backbone[2].weight.data[0, 0] = math.nan
    broken = build_graph(net, 4)
    assert observe_ranges(graph, [images(1, 2)])
    with pytest.raises(ExeuntError, match=r"stages\.1\.trunk\.2: its numbers reach from nan"):
        observe_ranges(broken, [images(1, 2)])
