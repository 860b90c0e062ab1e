from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch

from exeunt.errors import ExeuntError
from exeunt.models import load_weights, read_info
from exeunt.training import TrainConfig, train

SETTINGS = {"image_size": 32, "epochs": 1, "batch_size": 16, "limit": 40, "ema_decay": 0.0}
WIDTH = {"depth": 8, "width": 4}


@pytest.fixture(scope="module")
def first(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "first"
    config = TrainConfig(
        "resnet_cifar", WIDTH, exits="0", exit_head="conv", data_licence="ours", **SETTINGS
    )
    train(config, colours, out)
    return out


def test_a_run_that_begins_with_weights_has_their_settings(first: Path) -> None:
    config = TrainConfig.from_dict({"init": str(first), "epochs": 3}, "here")
    assert config.model == "resnet_cifar"
    assert config.model_args == WIDTH
    assert (config.exits, config.exit_head, config.image_size) == ("0", "conv", 32)
    assert config.epochs == 3
    assert TrainConfig.from_dict({"init": str(first), "image_size": 48}, "here").image_size == 48
    more = {"init": str(first), "model_args": {"collaborative": True}}
    assert TrainConfig.from_dict(more, "here").model_args == WIDTH | {"collaborative": True}
    other = {"init": str(first), "model": "resnet34"}
    assert TrainConfig.from_dict(other, "here").model_args == {}


def test_it_begins_with_their_tensors_and_keeps_the_trunk_if_told(
    first: Path, colours: Path, tmp_path: Path
) -> None:
    """Trained with a learning rate of next to nothing, the tensors are those it began with."""
    values = {"init": str(first), "lr": 1e-12, "weight_decay": 0.0, "regime": "exits", **SETTINGS}
    info = train(TrainConfig.from_dict(values, "here"), colours, tmp_path / "second")
    before = load_weights(first / "best.safetensors")[0].state_dict()
    after = load_weights(tmp_path / "second" / "best.safetensors")[0].state_dict()
    for name, tensor in after.items():
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(tensor, before[name], rtol=0, atol=1e-9)
        elif ".trunk." in name:
            assert torch.equal(tensor, before[name]), "statistics of a frozen trunk"
    assert info.data["licence"] == f"not stated; began with {first}, of {colours.name}: ours"


def test_other_classes_get_fresh_classifiers(first: Path, brightness: Path, tmp_path: Path) -> None:
    values = {"init": str(first), "lr": 1e-12, "weight_decay": 0.0, **SETTINGS}
    train(TrainConfig.from_dict(values, "here"), brightness, tmp_path / "second")
    before = load_weights(first / "best.safetensors")[0].state_dict()
    net, _ = load_weights(tmp_path / "second" / "best.safetensors")
    for name, tensor in net.state_dict().items():
        if name.endswith("classifier.weight"):
            assert len(tensor) == 1
        elif name.endswith("conv.weight"):
            torch.testing.assert_close(tensor, before[name], rtol=0, atol=1e-9)


def test_a_class_begins_with_what_is_known_of_its_name(
    first: Path, colours: Path, tmp_path: Path
) -> None:
    for split in ("train", "val"):
        shutil.copytree(colours / split / "green", tmp_path / "data" / split / "green")
        shutil.copytree(colours / split / "red", tmp_path / "data" / split / "wine")
    values = {"init": str(first), "lr": 1e-12, "weight_decay": 0.0, **SETTINGS}
    train(TrainConfig.from_dict(values, "here"), tmp_path / "data", tmp_path / "second")
    before = load_weights(first / "best.safetensors")[0].state_dict()
    after = load_weights(tmp_path / "second" / "best.safetensors")[0].state_dict()
    for k in range(2):
        name = f"stages.{k}.exit.classifier.weight"
        green, wine = after[name]
        torch.testing.assert_close(green, before[name][1], rtol=0, atol=1e-9)
        assert min((wine - row).abs().max() for row in before[name]) > 1e-3, "fresh"


def test_weights_of_another_shape_are_refused(first: Path, colours: Path, tmp_path: Path) -> None:
    config = TrainConfig("resnet_cifar", {"depth": 8, "width": 8}, init=str(first), **SETTINGS)
    with pytest.raises(ExeuntError, match=r"has \(4, 3, 3, 3\) for stages\.0\.trunk"):
        train(config, colours, tmp_path / "second")
    assert not (tmp_path / "second").exists()
    with pytest.raises(ExeuntError, match="unknown weights 'nothing'"):
        TrainConfig.from_dict({"init": "nothing"}, "here")


def test_what_was_trained_on_is_not_held_out_later(
    first: Path, colours: Path, tmp_path: Path
) -> None:
    values = {"init": str(first), "seed": 1, **SETTINGS}
    with pytest.raises(ExeuntError, match=r"on the same images with seed=0; with another split"):
        train(TrainConfig.from_dict(values, "here"), colours, tmp_path / "second")
    assert not (tmp_path / "second").exists()


def test_a_run_says_what_it_began_with(first: Path, colours: Path, tmp_path: Path) -> None:
    values = {"init": str(first), **SETTINGS}
    config = dataclasses.replace(TrainConfig.from_dict(values, "here"), data_licence="theirs")
    train(config, colours, tmp_path / "second")
    info = read_info(tmp_path / "second" / "best.safetensors")
    assert info.data["licence"].startswith("theirs; began with")
