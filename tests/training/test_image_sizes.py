"""Sizes at which a network meets other borders than it learnt are told."""

from __future__ import annotations

from pathlib import Path

import pytest

import exeunt
from exeunt.errors import ExeuntNote
from exeunt.models import create_model
from exeunt.training.image_sizes import remainders, sizes_note
from exeunt.training.progress import Quiet


def test_remainders_by_hand() -> None:
    """Five strides of 2: sides of 64 are 64, 32, 16, 8, 4; of 80 are 80, 40, 20, 10, 5."""
    net = create_model("mobilenetv2_035", num_classes=2)
    assert remainders(net, 64) == (0, 0, 0, 0, 0)
    assert remainders(net, 80) == (0, 0, 0, 0, 1)
    assert remainders(net, 72) == (0, 0, 0, 1, 1)
    assert net.training
    rex = create_model("rex_mobilenetv2_035", num_classes=2)
    assert remainders(rex, 80) == (0, 0, 0, 1)  # stem, ReX with a stride of 4, and two more


@pytest.mark.parametrize(
    ("train_size", "image_size", "said"),
    [(64, 80, "64, 96 end like 64"), (64, 96, None), (80, 112, None), (48, 64, "48 end like 48")],
)
def test_what_is_said(train_size: int, image_size: int, said: str | None) -> None:
    note = sizes_note(create_model("mobilenetv2_035", num_classes=2), train_size, image_size)
    assert (note is None) == (said is None)
    assert said is None or (note is not None and note.endswith(said))


def test_training_says_so(colours: Path, tmp_path: Path) -> None:
    settings = {"model": "mobilenetv2_035", "epochs": 1, "train_size": 32, "progress": Quiet()}
    with pytest.warns(ExeuntNote, match="train_size=32, image_size=40: strided layers end"):
        exeunt.train(colours, tmp_path / "run", image_size=40, **settings)
