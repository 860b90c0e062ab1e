"""The whole road with a dataset of Python: the figures are those of the same images in a folder."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import exeunt
from exeunt import Classifier, ExeuntError, LabelledImages
from exeunt.training.resume import data_and_config

CLASSES = ("blue", "green", "red")
COLOURS = np.array([(40, 60, 200), (50, 180, 60), (200, 50, 40)])
SETTINGS = {
    "model": "resnet_cifar",
    "model_args": {"depth": 8, "width": 8},
    "exits": "0,1",
    "image_size": 32,
    "epochs": 2,
    "batch_size": 16,
    "ema_decay": 0.8,
    "lr": 0.1,
}


class Colours:
    """Noisy patches of one colour, as `torchvision.datasets.CIFAR10` would have them."""

    classes = CLASSES

    def __init__(self, count: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.targets = [i % 3 for i in range(count)]
        noisy = COLOURS[self.targets][:, None, None] + rng.normal(0, 25, (count, 32, 32, 3))
        self.data = noisy.clip(0, 255).astype(np.uint8)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.fromarray(self.data[index]), self.targets[index]


def colours() -> LabelledImages:
    return LabelledImages(Colours(72, 1), Colours(24, 2), name="colours")


KILLED = """
import os, sys, signal
sys.path.insert(0, sys.argv[1])
from test_datasets_in_python import SETTINGS, colours
import exeunt
from exeunt.training import Quiet

class Killed(Quiet):
    def step(self, epoch, batch, *rest):
        if (epoch, batch) == (1, 1):
            os.kill(os.getpid(), signal.SIGKILL)

exeunt.train(colours(), sys.argv[2], progress=Killed(), **SETTINGS)
"""


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs") / "run"


@pytest.fixture(scope="module")
def trained(out: Path) -> Classifier:
    return exeunt.train(colours(), out, **SETTINGS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same images as files."""
    root = tmp_path_factory.mktemp("files")
    for pool, dataset in (("train", Colours(72, 1)), ("test", Colours(24, 2))):
        for i, (image, target) in enumerate(dataset):
            path = root / pool / CLASSES[target] / f"{i:05}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)
    return root


def test_what_a_run_says_of_its_images(trained: Classifier, out: Path) -> None:
    assert trained.class_names == [*CLASSES]
    record = json.loads((out / "run.json").read_text())
    assert record["splits"] == {"train": 60, "calibration": 12, "test": 24}
    assert (record["data"]["name"], record["images"]) == ("colours", None)
    with pytest.raises(ExeuntError, match=r"its images, colours, came from a dataset in Python"):
        data_and_config(None, None, {}, out)


def test_the_figures_are_those_of_the_folder(trained: Classifier, folder: Path) -> None:
    ours = trained.evaluate(colours())
    assert ours.run["data"] == "colours"
    assert ours.run["data_fingerprint"] == trained.info.data["fingerprint"]
    assert ours.run["trained_on_fingerprint"] == ours.run["data_fingerprint"]
    for split in ("test", "all"):
        one, other = (trained.record(data, split) for data in (colours(), folder))
        rows = [one.names.index(_position(name)) for name in other.names]
        assert torch.equal(one.targets[rows], other.targets)
        torch.testing.assert_close(one.logits[:, rows], other.logits)
    assert trained.info.metrics["test"]["exits"][-1]["accuracy"] == pytest.approx(
        float(
            (trained.record(folder).logits[-1].argmax(1) == trained.record(folder).targets)
            .double()
            .mean()
        )
    )


def _position(name: str) -> str:
    """`test/red/00012.png` is `test/00012`."""
    pool, _, file = name.split("/")
    return f"{pool}/{Path(file).stem}"


def test_calibrating_refuses_and_warns_as_for_folders(trained: Classifier, tmp_path: Path) -> None:
    known = colours()
    calibrated = trained.calibrate(known, budget_fraction=0.7)
    assert calibrated.calibration is not None
    assert len(calibrated.calibration.table) == 12
    mixed = LabelledImages(Colours(72, 1), name="cut otherwise")
    with pytest.raises(ExeuntError, match=r"were held out when the weights were trained"):
        trained.calibrate(mixed, budget_fraction=0.7)
    both = LabelledImages(Colours(72, 1), Colours(72, 1))
    with pytest.raises(ExeuntError, match=r"images to calibrate on are in the test split too"):
        trained.calibrate(both, budget_fraction=0.7)
    with pytest.warns(exeunt.ExeuntWarning, match=r"^elsewhere: not the images of the training"):
        trained.calibrate(
            LabelledImages(Colours(30, 7), Colours(9, 8), name="elsewhere"), budget_fraction=0.7
        )


def test_exports_reports_and_measures(trained: Classifier, tmp_path: Path) -> None:
    data = colours()
    trained.export_onnx(tmp_path / "net", calibration=data, budget_fraction=0.7)
    trained.save(tmp_path / "net.safetensors")
    found = exeunt.verify(
        tmp_path / "net", data, limit=6, weights=str(tmp_path / "net.safetensors")
    )
    assert found.to_dict()["images"] == 6
    trained.report(data, tmp_path / "page.html", limit=6, thumbnails=2)
    assert "images of colours (test)" in (tmp_path / "page.html").read_text()
    assert trained.bench(["torch"], data, runs=1, limit=6).to_dict()


def test_a_killed_run_goes_on_with_the_same_images_alone(
    trained: Classifier, out: Path, tmp_path: Path
) -> None:
    killed = tmp_path / "run"
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(killed)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert (killed / "last.safetensors").exists()
    copy = shutil.copytree(killed, tmp_path / "copy")
    with pytest.raises(ExeuntError, match=r"was started with data\.fingerprint"):
        exeunt.train(
            LabelledImages(Colours(72, 3), Colours(24, 2), name="colours"),
            copy,
            resume=True,
            **SETTINGS,
        )
    resumed = exeunt.train(colours(), killed, resume=True)  # by the settings that the run has
    for name, tensor in trained.net.state_dict().items():
        assert torch.equal(tensor, resumed.net.state_dict()[name]), name
    assert resumed.info.metrics == trained.info.metrics


def test_values_are_learnt_too(tmp_path: Path) -> None:
    grey = [(np.full((32, 32, 3), 4 * i, np.uint8), i / 60) for i in range(60)]
    found = exeunt.train(grey, tmp_path / "run", **SETTINGS | {"epochs": 1})
    assert found.info.task == "regression"
    assert found.info.metrics["test"]["exits"][-1]["mae"] >= 0
