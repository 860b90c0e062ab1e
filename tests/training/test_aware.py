"""Training for int8: judged in integers, resumed, stored as ordinary weights."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from exeunt.data import SplitSpec, Transform, eval_loader, make_splits, open_source
from exeunt.errors import ExeuntError
from exeunt.graph import build_graph
from exeunt.models import load_weights
from exeunt.quantize import QuantizedNet, observe_ranges, quantize
from exeunt.training import Execution, Quiet, TrainConfig, train

BEFORE = TrainConfig(
    "resnet_cifar",
    {"depth": 8, "width": 4},
    image_size=32,
    exits="0",
    epochs=2,
    batch_size=16,
    ema_decay=0.5,
)


@pytest.fixture(scope="module")
def first(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "first"
    train(BEFORE, colours, out)
    return out


@pytest.fixture(scope="module")
def config(first: Path) -> TrainConfig:
    return dataclasses.replace(BEFORE, init=str(first), quantize_aware=True, lr=0.01)


@pytest.fixture(scope="module")
def aware(config: TrainConfig, colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "aware"
    train(config, colours, out)
    return out


def curve(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k not in ("seconds", "data_wait")} for row in rows]


def test_weights_move_and_statistics_stay(first: Path, aware: Path) -> None:
    before = load_weights(first / "best.safetensors")[0].state_dict()
    after = load_weights(aware / "best.safetensors")[0].state_dict()
    assert before.keys() == after.keys(), "ordinary weights of the same network"
    for name, tensor in after.items():
        same = "running" in name or "num_batches" in name
        assert torch.equal(tensor, before[name]) == same, name


def test_epochs_are_judged_in_integers(aware: Path, colours: Path) -> None:
    net, info = load_weights(aware / "best.safetensors")
    transform = Transform.from_dict(info.transform)
    samples = make_splits(open_source(colours), SplitSpec(**info.split)).calibration
    loader: Any = eval_loader(samples, transform, batch_size=16)
    batches = list(loader)
    graph = build_graph(net, 32)
    images = [batch.images for batch in batches]
    quantized = QuantizedNet(quantize(graph, observe_ranges(graph, images)))
    targets = torch.cat([batch.targets for batch in batches])
    exits = zip(*(quantized(part) for part in images), strict=True)
    right = [float((torch.cat(own).argmax(1) == targets).float().mean()) for own in exits]
    rows = curve(aware)
    found = [[float(row[f"calibration_accuracy_{k}"]) for k in (1, 2)] for row in rows]
    best = max(range(len(found)), key=lambda epoch: (found[epoch][-1], epoch))
    assert found[best] == pytest.approx(right, abs=1e-6)


class StopAfterOne(Quiet):
    """Ctrl-C in the second epoch."""

    def step(self, epoch: int, *_: Any) -> None:
        if epoch == 1:
            raise KeyboardInterrupt


def test_an_interrupted_run_ends_as_if_it_had_not_stopped(
    aware: Path, config: TrainConfig, colours: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(config, colours, out, execution=Execution(progress=StopAfterOne()))
    train(config, colours, out, resume=True)
    assert curve(out) == curve(aware)
    resumed, whole = (load_weights(run / "best.safetensors")[0] for run in (out, aware))
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_exits_may_learn_alone_and_images_have_another_size(
    first: Path, config: TrainConfig, colours: Path, tmp_path: Path
) -> None:
    alone = dataclasses.replace(config, regime="exits", epochs=1, train_size=40)
    train(alone, colours, tmp_path / "alone")
    before = load_weights(first / "best.safetensors")[0].state_dict()
    after = load_weights(tmp_path / "alone" / "best.safetensors")[0].state_dict()
    for name, tensor in after.items():
        assert torch.equal(tensor, before[name]) == (".exit." not in name), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"init": None}, "init=None: begin with weights that are trained"),
        ({"precision": "bfloat16"}, "precision='bfloat16': float32 alone"),
        ({"gradient_equilibrium": True}, "gradient_equilibrium=True: stages"),
    ],
)
def test_what_does_not_go_with_it_is_refused(
    config: TrainConfig, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ExeuntError, match=message):
        dataclasses.replace(config, **changes)
