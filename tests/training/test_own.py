"""Regimes, losses and augmentations of one's own, handed over in Python."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from typer.testing import CliRunner

import exeunt
from exeunt.cli import app
from exeunt.errors import ExeuntError
from exeunt.models import create_model, load_weights, read_info
from exeunt.net import MultiExitNet
from exeunt.training import Pass, Quiet, Regime, TrainConfig, depth_weighted
from exeunt.training.objects import qualified_name

SETTINGS: dict[str, Any] = {
    "model": "resnet_cifar",
    "model_args": {"depth": 8, "width": 4},
    "exits": "0",
    "image_size": 32,
    "epochs": 2,
    "batch_size": 16,
    "ema_decay": 0.0,
    "progress": Quiet(),
}


class Focal(Regime):
    """The focal loss (Lin et al., 2017) of the exits, behind a stem that stays as it is."""

    gamma = 2.0

    def prepare(self, net: MultiExitNet, epoch: int) -> None:
        super().prepare(net, epoch)
        next(net.parameters()).requires_grad_(False)

    def loss(self, seen: Pass) -> Tensor:
        def focal(logits: Tensor, targets: Tensor) -> Tensor:
            entropy = F.cross_entropy(logits, targets, reduction="none")
            return ((1 - torch.exp(-entropy)) ** self.gamma * entropy).mean()

        return depth_weighted(seen.exit_losses(focal))


class Backwards(Regime):
    """Climbs the loss, which no other regime does."""

    def loss(self, seen: Pass) -> Tensor:
        return -seen.losses.sum()


def darker(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image) // 2)


def test_a_regime_decides_what_learns_and_what_it_descends(colours: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    exeunt.train(colours, out, regime=Focal, **SETTINGS)
    torch.manual_seed(0)
    fresh = create_model("resnet_cifar", 3, depth=8, width=4, exits=[0])
    net, _ = load_weights(out / "best.safetensors")
    start, end = (dict(n.named_parameters()) for n in (fresh, net))
    still = [name for name in end if torch.equal(start[name], end[name])]
    assert still == [next(iter(end))]
    assert json.loads((out / "run.json").read_text())["config"]["regime"] == f"{__name__}:Focal"
    exeunt.train(colours, tmp_path / "up", regime=Backwards, **SETTINGS)
    rows = [
        (tmp_path / run / "metrics.csv").read_text().splitlines()[-1].split(",")
        for run in ("run", "up")
    ]
    header = (out / "metrics.csv").read_text().splitlines()[0].split(",")
    place = header.index("train_loss_1")
    assert float(rows[1][place]) > float(rows[0][place])


def test_what_a_run_was_made_with_is_needed_to_go_on(colours: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"

    class Stop(Quiet):
        def epoch(self, entry: dict[str, object]) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        exeunt.train(colours, out, **SETTINGS | {"progress": Stop()}, regime=Focal, augment=darker)
    record = json.loads((out / "run.json").read_text())["config"]
    assert record["augment"] == f"{__name__}:darker"
    for other in ({"augment": darker}, {"regime": Backwards, "augment": darker}, {"regime": Focal}):
        with pytest.raises(
            ExeuntError, match=r"was started with config\.(regime|augment)=|hand it over"
        ):
            exeunt.train(colours, out, resume=True, **SETTINGS, **other)
    result = CliRunner().invoke(app, ["train", "--resume", "--out", str(out)])
    assert result.exit_code == 2
    said = " ".join(result.stderr.split())
    assert "hand it over: exeunt.train(..., augment=darker)" in said
    clf = exeunt.train(colours, out, resume=True, **SETTINGS, regime=Focal, augment=darker)
    whole = exeunt.train(colours, tmp_path / "whole", **SETTINGS, regime=Focal, augment=darker)
    for mine, theirs in zip(clf.net.parameters(), whole.net.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_images_are_augmented_by_a_callable(colours: Path, tmp_path: Path) -> None:
    """A net that is trained on white images gets 1 - mean, by deviations, and no other pixels."""
    met: list[Tensor] = []

    class Watching(Focal):
        def loss(self, seen: Pass) -> Tensor:
            met.append(seen.images)
            return super().loss(seen)

    def white(image: Image.Image) -> Image.Image:
        return Image.new("RGB", image.size, "white")

    settings = SETTINGS | {"epochs": 1}
    exeunt.train(colours, tmp_path / "run", augment=white, regime=Watching, **settings)
    assert len(met) == 3
    pixels = (1 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    for images in met:
        torch.testing.assert_close(images, pixels.view(1, 3, 1, 1).expand_as(images))


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        (Focal, f"{__name__}:Focal"),
        (darker, f"{__name__}:darker"),
        (Quiet(), "exeunt.training.progress:Quiet"),
        (functools.partial(Focal, gamma=3.0), f"{__name__}:Focal(gamma=3.0)"),
    ],
)
def test_names(thing: Any, name: str) -> None:
    assert qualified_name(thing) == name


def test_what_is_no_regime_is_refused(colours: Path, tmp_path: Path) -> None:
    class Never(Backwards):
        def complete(self, epoch: int) -> bool:
            return False

    for regime, said in (
        (lambda *_: "joint", "gave a str; give a subclass of exeunt.training.Regime"),
        (Never, "completes none of 2 epochs"),
        (3, "regime=3; give a name or a callable"),
        ("my_module:Own", r"hand it over: exeunt.train\(..., regime=Own\)"),
        ("jiont", "regime='jiont'; did you mean joint"),
    ):
        with pytest.raises(ExeuntError, match=said):
            exeunt.train(colours, tmp_path / "run", regime=regime, **SETTINGS)  # type: ignore[arg-type]
        assert not (tmp_path / "run").exists()
    with pytest.raises(ExeuntError, match="augment='trivil'; did you mean trivial"):
        TrainConfig("resnet_cifar", augment="trivil")


def test_the_page_trains_with_its_losses(
    colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    (block,) = re.findall("```python\n(.*?)```", page, re.DOTALL)
    run, curves = exeunt.train, []

    def small(data: str, out: str, *, model: str, regime: type[Regime]) -> None:
        run(colours, tmp_path / out, regime=regime, **SETTINGS)
        lines = (tmp_path / out / "metrics.csv").read_text().splitlines()
        curves.append([line.split(",")[4] for line in lines[1:]])

    monkeypatch.setattr(exeunt, "train", small)
    here: dict[str, Any] = {"__name__": "page"}
    exec(block, here)
    assert len(curves) == 2
    assert curves[0] != curves[1], "other losses lead elsewhere"
    torch.manual_seed(0)
    logits, targets = torch.randn(5, 3), torch.tensor([0, 1, 2, 2, 0])
    right = logits.softmax(1)[torch.arange(5), targets]
    expected = (-((1 - right) ** 2) * right.log()).mean()
    torch.testing.assert_close(here["focal"](logits, targets), expected)


def test_the_command_has_it_all(colours: Path, tmp_path: Path) -> None:
    """Balanced weights are those of the images to train on, and are recorded."""
    data, out = tmp_path / "data", tmp_path / "run"
    for kept, name in ((24, "blue"), (12, "green"), (6, "red")):
        for pool, count in (("train", kept), ("val", 8)):
            (data / pool / name).mkdir(parents=True)
            for k in range(count):
                (data / pool / name / f"{k}.png").symlink_to(colours / pool / name / f"{k}.png")
    options = {
        **{"model": "resnet_cifar", "exits": "0", "image-size": 32, "epochs": 2, "batch-size": 8},
        **{"regime": "mixed", "mixed-share": 0.4, "class-weights": "balanced", "mixup": 0.2},
        **{"cutmix": 0.5, "augment": "trivial", "workers": 0, "calibration-fraction": 0.2},
    }
    words = [str(w) for key, value in options.items() for w in (f"--{key}", value)]
    words += ["--set", "depth=8", "--set", "width=4"]
    result = CliRunner().invoke(app, ["train", str(data), *words, "--out", str(out)])
    assert result.exit_code == 0, result.output
    record = json.loads((out / "run.json").read_text())
    kept = {key: record["config"][key.replace("-", "_")] for key in options if key != "workers"}
    assert kept == {key: value for key, value in options.items() if key != "workers"}
    total = record["splits"]["train"]
    counts = {name: total / (3 * w) for name, w in record["class_weights"].items()}
    assert sum(counts.values()) == pytest.approx(total, rel=1e-4)
    assert [round(counts[name]) for name in ("blue", "green", "red")] == [19, 10, 5]
    assert read_info(out / "best.safetensors").metrics["test"]["samples"] == 24
