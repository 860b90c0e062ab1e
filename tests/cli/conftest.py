"""A small data set, and weights that are random but alive: exits disagree and differ in doubt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from exeunt.chain import Block, chain
from exeunt.cli import app
from exeunt.data import SplitSpec, Transform, load_image, open_source
from exeunt.data.source import fingerprint
from exeunt.models import MODELS, WeightsInfo, create_model, register_model, save_weights
from exeunt.net import MultiExitNet
from exeunt.ops.exits import make_exit

CLASSES = ("dots", "noise", "waves")
ARGUMENTS = {"num_classes": 3, "in_chans": 3}


def picture(kind: str, rng: np.random.Generator) -> Image.Image:
    y, x = np.mgrid[:40, :48]
    if kind == "waves":
        grey = np.sin(x * rng.uniform(0.1, 1)) * 127 + 128
    elif kind == "dots":
        grey = np.where((x % rng.integers(5, 9) < 3) & (y % 6 < 3), 255, 0)
    else:
        grey = rng.integers(0, 256, x.shape)
    pixels = grey[..., None] * rng.uniform(0.2, 1, 3)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty images of each of three classes."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for name in CLASSES:
        (root / name).mkdir()
        for i in range(20):
            picture(name, rng).save(root / name / f"{i:02}.png")
    return root


def lively_net(images: Path, transform: Transform, outputs: int) -> MultiExitNet:
    """Random weights, normalised so that logits have mean 0 and deviation 1.5 on the images."""
    torch.manual_seed(0)
    net = create_model("rex_mobilenetv2_035", outputs)
    x = torch.stack([transform(load_image(file)) for file in sorted(images.glob("*/*.png"))])
    for norm in (m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        norm.momentum = 1.0  # one batch settles the statistics
    with torch.no_grad():
        net.train()(x)
        net.eval()
        for stage, logits in zip(net.stages, net(x), strict=True):
            (linear,) = (m for m in stage.exit.modules() if isinstance(m, torch.nn.Linear))
            scale = 1.5 / logits.std(dim=0)
            linear.weight *= scale[:, None]
            linear.bias.copy_(scale * (linear.bias - logits.mean(dim=0)))
    return net


@pytest.fixture(scope="session")
def info(images: Path) -> WeightsInfo:
    pool = open_source(images).pools["all"]
    return WeightsInfo(
        architecture="rex_mobilenetv2_035",
        arguments=ARGUMENTS,
        task="classification",
        class_names=list(CLASSES),
        transform=Transform((32, 32)).to_dict(),
        policy="consistency:1",
        metrics={
            "test": {
                "samples": 9,
                "exits": [{"accuracy": 0.25 + 0.125 * k} for k in range(6)],
                "policy": {"spec": "consistency:1", "accuracy": 0.625, "saving": 0.125},
            }
        },
        split={"seed": 3, "calibration_fraction": 0.2, "test_fraction": 0.3, "limit": None},
        calibration_hashes=[],
        data={"name": "shapes", "fingerprint": fingerprint(pool), "licence": "made by the tests"},
        command="exeunt train shapes",
        versions={"exeunt": "0"},
    )


@pytest.fixture(scope="session")
def weights(images: Path, info: WeightsInfo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file for three classes at 32 px."""
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    net = lively_net(images, Transform.from_dict(info.transform), 3)
    save_weights(path, net.state_dict(), info)
    return path


def two_convolutions(num_classes: int = 3, in_chans: int = 3, exits: object = None) -> MultiExitNet:
    """Two convolutions, an exit behind each."""
    blocks = [Block("a", nn.Conv2d(in_chans, 4, 3, 2), 4), Block("b", nn.Conv2d(4, 4, 3), 4)]
    stages = chain(blocks, [0], lambda _, channels: make_exit("pooled", channels, num_classes))
    return MultiExitNet(stages, num_classes, in_chans)


@pytest.fixture(scope="module")
def tiny(info: WeightsInfo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Weights of a net that takes no time, `two_convolutions`."""
    register_model(two_convolutions)
    path = tmp_path_factory.mktemp("tiny") / "tiny.safetensors"
    torch.manual_seed(0)
    transform = Transform((12, 12)).to_dict()
    about = replace(info, architecture="two_convolutions", transform=transform, metrics={})
    save_weights(path, two_convolutions().state_dict(), about)
    yield path
    MODELS.remove("two_convolutions")


@pytest.fixture(scope="session")
def table_file(images: Path) -> Path:
    """The same images with a number each, for regression."""
    path = images / "values.csv"
    files = sorted(images.glob("*/*.png"))
    lines = [f"{file.relative_to(images).as_posix()},{i / 10}" for i, file in enumerate(files)]
    path.write_text("\n".join(["file,value", *lines]), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def regression(images: Path, info: WeightsInfo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file for one value."""
    path = tmp_path_factory.mktemp("regression") / "r.safetensors"
    net = lively_net(images, Transform.from_dict(info.transform), 1)
    changed: dict[str, Any] = {
        "task": "regression",
        "arguments": {**ARGUMENTS, "num_classes": 1},
        "class_names": [],
        "policy": "consistency:1,eta=0.5",
        "metrics": {},
    }
    save_weights(path, net.state_dict(), replace(info, **changed))
    return path


@pytest.fixture(scope="session")
def spec(info: WeightsInfo) -> SplitSpec:
    return SplitSpec(**info.split)


class Run:
    """How a command line ended."""

    def __init__(self, *arguments: object, stdin: str | None = None) -> None:
        result = CliRunner().invoke(app, [str(part) for part in arguments], input=stdin)
        self.status, self.out, self.err = result.exit_code, result.stdout, result.stderr
        known = result.exception is None or isinstance(result.exception, SystemExit)
        assert known, f"a traceback would show: {result.exception!r}"


@pytest.fixture(scope="session")
def exeunt() -> Callable[..., Run]:
    """Runs a command line in this process."""
    return Run
