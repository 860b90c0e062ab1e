from __future__ import annotations

import csv
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from exeunt.calibrate import choose_policy
from exeunt.data import SplitSpec, Transform, content_hash, make_splits, open_source
from exeunt.errors import ExeuntError
from exeunt.evaluate import record_samples, replay
from exeunt.models import load_weights
from exeunt.policies import parse_policy
from exeunt.training import Execution, Quiet, TrainConfig, train

CONFIG = TrainConfig(
    "resnet_cifar",
    {"depth": 14, "width": 4},
    exits="0,1,2,3,4",
    image_size=32,
    epochs=3,
    batch_size=16,
    ema_decay=0.8,
    lr=0.1,
)


def curve(run: Path) -> list[dict[str, str]]:
    """The rows of `metrics.csv`, but for the time they took."""
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k not in ("seconds", "data_wait")} for row in rows]


class StopAfter(Quiet):
    """Presses Ctrl-C in the given batch of the given epoch."""

    def __init__(self, epoch: int, batch: int) -> None:
        self.at = (epoch, batch)

    def step(self, epoch: int, batch: int, *rest: Any) -> None:
        if (epoch, batch) == self.at:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def trained(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    train(CONFIG, colours, out, execution=Execution(command="exeunt train colours"))
    return out


def test_it_learns(colours: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, epochs=12, label_smoothing=0.0)
    info = train(config, colours, tmp_path / "run")
    losses = [float(row["train_loss_6"]) for row in curve(tmp_path / "run")]
    assert losses[-1] < 0.5 * losses[0]
    assert [row["accuracy"] for row in info.metrics["test"]["exits"]][-1] > 0.9


def test_what_a_run_leaves(trained: Path, colours: Path) -> None:
    assert sorted(path.name for path in trained.iterdir()) == [
        "best.safetensors",
        "last.safetensors",
        "metrics.csv",
        "run.json",
    ]
    record = json.loads((trained / "run.json").read_text())
    assert record["finished"] is True
    assert record["splits"] == {"train": 60, "calibration": 12, "test": 24}
    assert record["config"] == CONFIG.to_dict()
    rows = curve(trained)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert {
        f"{name}_{k}"
        for name in ("train_loss", "train_accuracy", "calibration_accuracy")
        for k in range(1, 7)
    } < set(rows[0])

    _, info = load_weights(trained / "best.safetensors")
    assert info.class_names == ["blue", "green", "red"]
    assert info.command == "exeunt train colours"
    splits = make_splits(open_source(colours), SplitSpec(**info.split))
    assert info.calibration_hashes == sorted(content_hash(s.place) for s in splits.calibration)


def test_figures_and_policy_are_those_of_the_stored_file(trained: Path, colours: Path) -> None:
    net, info = load_weights(trained / "best.safetensors")
    source = open_source(colours)
    splits = make_splits(source, SplitSpec(**info.split))
    transform = Transform.from_dict(info.transform)
    macs = [i.macs for i in net.exit_info(32)]
    tables = {
        split: record_samples(
            net, splits[split], transform, exit_macs=macs, task=source.task, split=split
        )
        for split in ("calibration", "test")
    }
    assert info.policy == choose_policy(tables["calibration"]).policy.spec
    for split, table in tables.items():
        figures = info.metrics[split]
        right = (table.logits.argmax(2) == table.targets).double().mean(1).tolist()
        assert [row["accuracy"] for row in figures["exits"]] == pytest.approx(right, abs=1e-6)
        outcome = replay(table, parse_policy(info.policy))
        assert figures["policy"]["accuracy"] == pytest.approx(outcome.accuracy, abs=1e-6)
        assert figures["policy"]["saving"] == pytest.approx(outcome.saving, abs=1e-6)


def test_the_best_epoch_is_chosen_on_calibration(trained: Path) -> None:
    rows = curve(trained)
    best = max(float(row["calibration_accuracy_6"]) for row in rows)
    _, info = load_weights(trained / "best.safetensors")
    assert info.metrics["calibration"]["exits"][-1]["accuracy"] == pytest.approx(best)


@pytest.mark.parametrize("stop", [(0, 1), (1, 2), (2, 0)])
def test_an_interrupted_run_ends_as_if_it_had_not_stopped(
    trained: Path, colours: Path, tmp_path: Path, stop: tuple[int, int]
) -> None:
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(CONFIG, colours, out, execution=Execution(progress=StopAfter(*stop)))
    assert (out / "last.safetensors").exists() == (stop[0] > 0)
    train(CONFIG, colours, out, resume=True)
    assert curve(out) == curve(trained)
    resumed, whole = (load_weights(run / "best.safetensors")[0] for run in (out, trained))
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_workers_change_nothing(trained: Path, colours: Path, tmp_path: Path) -> None:
    train(CONFIG, colours, tmp_path / "run", execution=Execution(workers=2))
    assert curve(tmp_path / "run") == curve(trained)


def test_the_callers_random_state_is_left_alone(colours: Path, tmp_path: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    train(dataclasses.replace(CONFIG, epochs=1, limit=30), colours, tmp_path / "run")
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.slow
def test_kill_9_loses_at_most_one_epoch(colours: Path, tmp_path: Path) -> None:
    options = {"model": "rex_mobilenetv2_035", "image-size": 32, "epochs": 5, "batch-size": 16}
    command = [sys.executable, "-m", "exeunt", "train", str(colours), "--out"]
    settings = [f"--{key}={value}" for key, value in options.items()]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}

    def run(name: str, *more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*command, str(tmp_path / name), *settings, *more],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    whole = run("whole")
    _, shown = whole.communicate(timeout=120)
    assert whole.returncode == 0, shown

    killed = run("killed")
    metrics = tmp_path / "killed" / "metrics.csv"
    while not metrics.exists() or len(curve(metrics.parent)) < 2:
        assert killed.poll() is None
        time.sleep(0.01)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    done = len(curve(metrics.parent))
    assert done < 5, "it was killed on the way"
    resumed = run("killed", "--resume")
    _, shown = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, shown
    assert f"resuming after epoch {done}" in shown or f"resuming after epoch {done + 1}" in shown
    assert curve(tmp_path / "killed") == curve(tmp_path / "whole")


def test_regression_end_to_end(brightness: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, epochs=12, lr=0.05)
    info = train(config, brightness, tmp_path / "run")
    assert info.task == "regression"
    assert info.arguments["num_classes"] == 1
    test = make_splits(open_source(brightness), SplitSpec(**info.split)).test
    mean = sum(sample.target for sample in test) / len(test)
    guessing = sum(abs(sample.target - mean) for sample in test) / len(test)
    assert info.metrics["test"]["exits"][-1]["mae"] < 0.7 * guessing
    assert float(curve(tmp_path / "run")[-1]["train_mae_6"]) < float(
        curve(tmp_path / "run")[0]["train_mae_6"]
    )
    assert info.policy == "full" or "eta=" in info.policy


@pytest.mark.parametrize(
    "changes",
    [
        {"grey": True},
        {"precision": "bfloat16"},
        {"deterministic": True},
        {"exits": "1,4", "exit_head": "rex"},
        {"storage": "float16"},
    ],
)
def test_other_settings(colours: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    settings = {"epochs": 1, "limit": 30, "model": "rex_mobilenetv2_035", "model_args": {}}
    config = dataclasses.replace(CONFIG, **settings, **({"exits": "paper"} | changes))
    info = train(config, colours, tmp_path / "run")
    assert info.arguments["in_chans"] == (1 if "grey" in changes else 3)
    assert info.storage == changes.get("storage", "float32")
    assert len(info.metrics["test"]["exits"]) == (3 if "exits" in changes else 6)
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_diverging_loss_is_named_and_the_state_kept(colours: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, lr=1e30)
    with pytest.raises(
        ExeuntError, match=r"the loss of exit \d became (nan|inf) in epoch \d, batch"
    ):
        train(config, colours, tmp_path / "run")


def copy(colours: Path, to: Path) -> Path:
    shutil.copytree(colours, to)
    return to


def test_one_unreadable_image_in_a_hundred_and_more(colours: Path, tmp_path: Path) -> None:
    data = copy(colours, tmp_path / "data")
    (data / "train" / "red" / "3.png").write_bytes(b"not an image")
    with pytest.raises(ExeuntError, match=r"1 of \d+ images are unreadable.*train/red/3\.png"):
        train(CONFIG, data, tmp_path / "run")


def test_few_unreadable_images_are_named_and_skipped(colours: Path, tmp_path: Path) -> None:
    data = copy(colours, tmp_path / "data")
    for name in ("blue", "green", "red"):  # 135 per class, one of 344 training images broken
        for i in range(24, 135):
            shutil.copy(data / "train" / name / f"{i % 24}.png", data / "train" / name / f"{i}.png")
    splits = make_splits(open_source(data), SplitSpec())
    splits.train[0].place.path.write_bytes(b"")
    listen = Listen()
    train(
        dataclasses.replace(CONFIG, epochs=1),
        data,
        tmp_path / "run",
        execution=Execution(progress=listen),
    )
    assert listen.unreadable == {splits.train[0].name: "an empty file"}


def test_a_run_that_stopped_at_unreadable_images_goes_on_when_they_are_allowed(
    colours: Path, tmp_path: Path
) -> None:
    data, out = copy(colours, tmp_path / "data"), tmp_path / "run"
    config = dataclasses.replace(CONFIG, epochs=1)
    splits = make_splits(open_source(data), SplitSpec())
    bad = [splits.train[0], splits.calibration[0], splits.test[0]]
    for sample in bad:
        sample.place.path.write_bytes(b"")
    with pytest.raises(ExeuntError, match=r"are unreadable, more than 1 %: .*allow_unreadable"):
        train(config, data, out)
    listen = Listen()
    train(
        dataclasses.replace(config, allow_unreadable=0.2),
        data,
        out,
        resume=True,
        execution=Execution(progress=listen),
    )
    assert listen.unreadable == dict.fromkeys([sample.name for sample in bad], "an empty file")
    with pytest.raises(ExeuntError, match=r"allow_unreadable=1\.5; give 0 or more, below 1"):
        dataclasses.replace(config, allow_unreadable=1.5)


class Listen(Quiet):
    def finish(self, info: Any, unreadable: Mapping[str, str]) -> None:
        self.unreadable = unreadable


@pytest.mark.parametrize("broken", ["empty", "class"])
def test_data_that_is_missing(colours: Path, tmp_path: Path, broken: str) -> None:
    data = tmp_path / "data"
    if broken == "empty":
        data.mkdir()
    else:
        copy(colours, data)
        for path in (data / "train" / "red").iterdir():
            path.unlink()
    with pytest.raises(
        ExeuntError, match=r"the folder is empty|classes that train/ has none of: red"
    ):
        train(CONFIG, data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_damaged_checkpoint_is_refused(trained: Path, colours: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    whole = (out / "last.safetensors").read_bytes()
    (out / "last.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ExeuntError, match="not a checkpoint of this run"):
        train(CONFIG, colours, out, resume=True)
