"""Any network as the teacher: what it sees, the order of its classes, the loss by the formula."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from exeunt import Classifier
from exeunt.data import Transform
from exeunt.errors import ExeuntError
from exeunt.models import create_model, read_info
from exeunt.training import Execution, Quiet, Targets, TrainConfig, train
from exeunt.training.losses import Criterion
from exeunt.training.teacher import Teacher

NAMES = ["blue", "green", "red"]
SMALL = Transform((16, 16))


def taught(folder: Path, transform: Transform, names: list[str] = NAMES) -> Path:
    """A weights file of a network of another kind."""
    torch.manual_seed(1)
    net = create_model(
        "resnet_cifar", len(names), depth=8, width=4, in_chans=transform.channels, exits=[0]
    )
    clf = Classifier(net.eval(), transform=transform, class_names=names)
    clf.save(folder / "teacher.safetensors")
    return folder / "teacher.safetensors"


def test_classes_are_matched_by_name(tmp_path: Path) -> None:
    path = taught(tmp_path, SMALL, ["red", "blue", "green"])
    teacher = Teacher(str(path), SMALL, NAMES, 0.5, 1.0)
    images = torch.randn(4, 3, 16, 16)
    with torch.no_grad():
        red, blue, green = teacher.net(images)[-1].T
    torch.testing.assert_close(teacher.logits(images), torch.stack([blue, green, red], 1))


def test_it_sees_the_images_in_its_own_size_and_normalisation(tmp_path: Path) -> None:
    """An enlarged image is what Pillow makes of it, to rounding; normalised by hand."""
    own = Transform((32, 24), mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4), crop_fraction=0.875)
    teacher = Teacher(str(taught(tmp_path, own)), SMALL, NAMES, 0.5, 1.0)
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    seen = teacher.seen(SMALL(image)[None])
    large = np.asarray(image.resize((24, 32), Image.Resampling.BILINEAR)) / 255
    expected = (large - (0.5, 0.4, 0.3)) / (0.2, 0.3, 0.4)
    assert seen.shape == (1, 3, 32, 24)
    apart = np.abs(seen[0].permute(1, 2, 0).numpy() - expected) * (0.2, 0.3, 0.4)
    assert apart.max() < 1.1 / 255


@pytest.mark.parametrize(("students", "own"), [("RGB", "L"), ("L", "RGB")])
def test_colour_becomes_luma_and_luma_grey(tmp_path: Path, students: str, own: str) -> None:
    mine, theirs = (Transform((16, 16), mode=mode) for mode in (students, own))
    teacher = Teacher(str(taught(tmp_path, theirs)), mine, NAMES, 0.5, 1.0)
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    seen = teacher.seen(mine(Image.fromarray(pixels))[None])
    grey = Image.fromarray(pixels).convert("L").convert(own)
    std = torch.tensor(theirs.std).view(-1, 1, 1)
    assert ((seen[0] - theirs(grey)) * std).abs().max() < 1.1 / 255


def test_the_loss_of_every_exit_by_the_formula(tmp_path: Path) -> None:
    teacher = Teacher(str(taught(tmp_path, SMALL)), SMALL, NAMES, 0.3, 2.0)
    torch.manual_seed(0)
    images, targets = torch.randn(5, 3, 16, 16), torch.tensor([0, 1, 2, 0, 1])
    logits = [torch.randn(5, 3, requires_grad=True) for _ in range(3)]
    got = Criterion(0.1, None, teacher)(images, logits, Targets(targets))
    t = (teacher.logits(images) / 2).softmax(1)
    expected = []
    for out in logits:
        y = (out.detach() / 2).softmax(1)
        divergence = sum(
            float(t[n, k] * (t[n, k].log() - y[n, k].log())) for n in range(5) for k in range(3)
        )
        label = F.cross_entropy(out, targets, label_smoothing=0.1)
        expected.append(0.7 * label.item() + 0.3 * 4 * divergence / 5)
    assert got.tolist() == pytest.approx(expected, rel=1e-5)
    got.sum().backward()
    assert all(p.grad is None for p in teacher.net.parameters())


def test_other_classes_are_refused(tmp_path: Path) -> None:
    path = str(taught(tmp_path, SMALL, ["blue", "green", "pink"]))
    said = "knows the classes blue, green, pink; those of the images are blue, green, red; only "
    with pytest.raises(ExeuntError, match=f"{said}the teacher's pink, only the images' red"):
        Teacher(path, SMALL, NAMES, 0.5, 1.0)
    with pytest.raises(ExeuntError, match="does not go with regime='distilled'"):
        TrainConfig("resnet_cifar", regime="distilled", init="x", teacher=path)


CONFIG = TrainConfig(
    "resnet_cifar",
    {"depth": 8, "width": 4},
    image_size=32,
    exits="0,1",
    epochs=3,
    batch_size=16,
    regime="mixed",
    distil_share=0.5,
    augment="trivial",
    mixup=0.2,
    cutmix=1.0,
)


def test_a_taught_and_mixed_run_resumes_to_the_same_curve(colours: Path, tmp_path: Path) -> None:
    path = taught(tmp_path, SMALL, ["red", "blue", "green"])
    config = replace(CONFIG, teacher=str(path), data_licence="ours")
    train(config, colours, tmp_path / "whole", execution=Execution(workers=1))

    class Stop(Quiet):
        def epoch(self, entry: dict[str, object]) -> None:
            if entry["epoch"] == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, colours, tmp_path / "cut", execution=Execution(progress=Stop()))
    assert not (tmp_path / "cut" / "best.safetensors").exists(), "exits have not learnt yet"
    train(config, colours, tmp_path / "cut", resume=True)
    curves = []
    for run in ("whole", "cut"):
        with (tmp_path / run / "metrics.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        timed = ("seconds", "data_wait")
        curves.append([{k: v for k, v in row.items() if k not in timed} for row in rows])
    assert curves[0] == curves[1]
    info = read_info(tmp_path / "cut" / "best.safetensors")
    assert info.data["licence"].startswith(f"ours; taught by {path}, of ")
    record = json.loads((tmp_path / "cut" / "run.json").read_text())["config"]
    assert record["teacher"] == str(path)
    with pytest.raises(ExeuntError, match=r"config\.teacher="):
        train(replace(config, teacher=None), colours, tmp_path / "cut", resume=True)


def test_a_teacher_that_saw_what_is_held_out_is_refused(colours: Path, tmp_path: Path) -> None:
    small = replace(CONFIG, teacher=None, epochs=2, limit=40)
    train(small, colours, tmp_path / "first")
    config = replace(small, teacher=str(tmp_path / "first"), seed=1)
    with pytest.raises(ExeuntError, match=r"teacher='.*first' was trained on the same images with"):
        train(config, colours, tmp_path / "second")
    assert not (tmp_path / "second").exists()


@pytest.mark.parametrize(
    "setting", [{"class_weights": "balanced"}, {"mixup": 0.2}, {"cutmix": 1.0}, {"teacher": "x"}]
)
def test_values_have_no_classes(
    brightness: Path, tmp_path: Path, setting: dict[str, object]
) -> None:
    config = replace(CONFIG, **{"mixup": 0.0, "cutmix": 0.0, **setting})
    with pytest.raises(ExeuntError, match=f"{next(iter(setting))}=.* is for classes"):
        train(config, brightness, tmp_path / "run")
