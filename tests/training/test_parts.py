"""Schedule, moving average, configuration, run folder."""

from __future__ import annotations

import csv
import json
import math
import os
from pathlib import Path

import pytest
import torch

from exeunt.errors import ExeuntError
from exeunt.models import create_model
from exeunt.training import TrainConfig, read_recipe
from exeunt.training.ema import Ema
from exeunt.training.run import Run
from exeunt.training.schedule import warmup_cosine


def test_warmup_then_cosine() -> None:
    rates = [warmup_cosine(step, 14, 4) for step in range(14)]
    assert rates[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert rates[4:] == pytest.approx([0.5 * (1 + math.cos(math.pi * i / 10)) for i in range(10)])
    assert warmup_cosine(0, 1, 0) == 1


def test_moving_average_against_a_plain_loop() -> None:
    torch.manual_seed(0)
    net = create_model("mobilenetv2_035", 2, exits="last")
    ema = Ema(net, 0.5)
    name = "stages.0.exit.classifier.weight"
    average = net.state_dict()[name].clone()
    for step in range(12):
        with torch.no_grad():
            net.state_dict()[name].normal_()
        ema.update(net, step)
        decay = min(0.5, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * net.state_dict()[name]
    torch.testing.assert_close(ema.net.state_dict()[name], average)
    assert not any(p.requires_grad for p in ema.net.parameters())


def test_norms_are_measured_on_the_averaged_weights() -> None:
    torch.manual_seed(0)
    net = create_model("mobilenetv2_035", 2, exits="last")
    ema = Ema(net, 0.5)
    batches = [torch.randn(4, 3, 32, 32), 2 + torch.randn(4, 3, 32, 32)]
    ema.measure_norms(net, batches)
    stem = ema.net.stages[0].trunk.stem
    outputs = [stem.conv(images) for images in batches]
    mean = torch.stack([out.mean((0, 2, 3)) for out in outputs]).mean(0)
    variance = torch.stack([out.var((0, 2, 3)) for out in outputs]).mean(0)
    torch.testing.assert_close(stem.norm.running_mean, mean)
    torch.testing.assert_close(stem.norm.running_var, variance)
    assert stem.norm.momentum == 0.1
    assert not any(module.training for module in ema.net.modules())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "epochs=0; give at least 1"),
        ({"image_size": 16}, "image_size=16; give at least 32"),
        ({"lr": 0.0}, "lr=0.0; give a number above 0"),
        ({"clip_norm": -1.0}, "clip_norm=-1.0; give 0 or more"),
        ({"momentum": 1.0}, "momentum=1.0"),
        (
            {"precision": "float64"},
            "precision='float64'; did you mean bfloat16 or float32? one of float32, bfloat16",
        ),
        ({"storage": "int8"}, "storage='int8'; one of float32, float16"),
        ({"epoch": 3}, "here: unknown key 'epoch'"),
        ({"epochs": 3.5}, "here: epochs must be a whole number of at most 64 bits, not 3.5"),
        ({"epochs": True}, "here: epochs must be a whole number of at most 64 bits, not True"),
        ({"flip": 1}, "here: flip must be true or false, not 1"),
        ({"limit": "all"}, "whole number of at most 64 bits or null, not 'all'"),
        ({"model": 3}, "here: model must be text, not 3"),
        ({"model_args": [1]}, "here: model_args must be an object, not [1]"),
        ({"lr": 1e308}, "here: lr=1e+308; give a number above 0, at most 1e+30"),
        ({"batch_size": 10**20}, "here: batch_size must be a whole number of at most 64 bits"),
        ({"batch_size": 10**9}, "here: batch_size=1000000000; give at least 2 and at most 1000000"),
        ({"model_args": {"exits": "all"}}, "model_args: exits cannot be set here"),
    ],
)
def test_wrong_settings_are_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(ExeuntError) as error:
        TrainConfig.from_dict({"model": "mobilenetv2"} | values, "here")
    assert message in str(error.value)


def test_a_model_must_be_named() -> None:
    with pytest.raises(ExeuntError, match="here: no model"):
        TrainConfig.from_dict({}, "here")


@pytest.mark.parametrize(("text", "places"), [("all", "all"), ("1,3", [1, 3]), ("0", [0])])
def test_exit_places(text: str, places: object) -> None:
    assert TrainConfig("mobilenetv2", exits=text).exit_places == places


def test_exit_places_that_are_none() -> None:
    with pytest.raises(ExeuntError, match="exits='1;3'"):
        _ = TrainConfig("mobilenetv2", exits="1;3").exit_places


@pytest.mark.parametrize("path", sorted(Path(__file__).parents[2].glob("recipes/*.toml")), ids=str)
def test_every_recipe_is_valid_and_says_what_came_out(path: Path) -> None:
    config = TrainConfig.from_dict(read_recipe(path), str(path))
    create_model(config.model, 2, exits=config.exit_places, **config.exit_heads)
    header = path.read_text(encoding="utf-8").split("\n\n")[0]
    for word in ("Command:", "Time:", "Result:"):
        assert word in header, f"{path.name}: its header lacks {word}"


def test_recipes_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ExeuntError, match="cannot be read"):
        read_recipe(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("epochs = \n")
    with pytest.raises(ExeuntError, match="not TOML"):
        read_recipe(tmp_path / "bad.toml")


RECORD = {"config": {"lr": 0.1}, "data": {"fingerprint": "abc"}}


def test_a_run_folder_is_not_overwritten(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    assert run.open(RECORD, resume=False) is False
    with pytest.raises(ExeuntError, match="--resume goes on with it"):
        run.open(RECORD, resume=False)
    assert run.open(RECORD, resume=True) is False, "no epoch is complete"
    run.last.touch()
    assert run.open(RECORD, resume=True) is True


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"config": {"lr": 0.2}, "data": {"fingerprint": "abc"}}, "config.lr=0.1, not 0.2"),
        ({"config": {"lr": 0.1}, "data": {"fingerprint": "xyz"}}, "data.fingerprint='abc'"),
    ],
)
def test_resuming_another_run_is_refused(
    tmp_path: Path, other: dict[str, dict[str, object]], message: str
) -> None:
    Run(tmp_path).open(RECORD, resume=False)
    with pytest.raises(ExeuntError, match=message):
        Run(tmp_path).open(other, resume=True)
    assert json.loads((tmp_path / "run.json").read_text()) == RECORD


def test_a_run_of_a_version_with_fewer_settings_goes_on(tmp_path: Path) -> None:
    Run(tmp_path).open(RECORD, resume=False)
    more = {**RECORD, "config": {**RECORD["config"], "quantize_aware": False}}
    Run(tmp_path).open(more, resume=True)
    more["config"]["quantize_aware"] = True
    with pytest.raises(ExeuntError, match="quantize_aware=False, not True"):
        Run(tmp_path).open(more, resume=True)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ExeuntError, match="not empty and is no run"):
        Run(tmp_path).open(RECORD, resume=True)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(ExeuntError, match="not a run's record"):
        Run(tmp_path).open(RECORD, resume=True)


@pytest.mark.parametrize("resume", [False, True])
def test_what_a_run_leaves_that_was_killed_as_it_began_is_no_run_of_another(
    tmp_path: Path, resume: bool
) -> None:
    for name in ("run.json.1.00000000.part", "run.json.1.part", "exeunt.lock"):
        (tmp_path / f".{name}").write_text('{"config"')
    with Run(tmp_path) as run:
        assert run.open(RECORD, resume) is False
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
    assert json.loads((tmp_path / "run.json").read_text()) == RECORD


def test_one_process_at_a_time_is_in_a_run(tmp_path: Path) -> None:
    with Run(tmp_path / "run") as run:
        run.open(RECORD, resume=False)
        said = rf"run is in use by process {os.getpid()} on .*, since 20"
        with pytest.raises(ExeuntError, match=said), Run(tmp_path / "run") as other:
            other.open(RECORD, resume=True)
    with Run(tmp_path / "run") as run:
        run.open(RECORD, resume=True)
    (tmp_path / "file").touch()
    with pytest.raises(ExeuntError, match="file is a file"):
        Run(tmp_path / "file").open(RECORD, resume=False)


def test_metrics_have_a_column_per_exit(tmp_path: Path) -> None:
    Run(tmp_path).write_metrics(
        [{"epoch": 1, "loss": [0.5, 0.25]}, {"epoch": 2, "loss": [0.4, 0.2]}]
    )
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[1] == {"epoch": "2", "loss_1": "0.4", "loss_2": "0.2"}
