"""Images of noise, and weights of random numbers that leave at many exits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import exeunt
from exeunt.data import Transform

CLASSES = ("dots", "noise", "waves")


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty images in folders of three classes."""
    root, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for i in range(30):
        folder = root / CLASSES[i % 3]
        folder.mkdir(exist_ok=True)
        coarse = rng.integers(0, 256, (2 + i % 5, 3, 3), np.uint8)
        Image.fromarray(coarse).resize((40, 36)).save(folder / f"{i:02}.png")
    return root


@pytest.fixture(scope="session")
def weights(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes at 32 px; the logits of each exit have a deviation of 1.5."""
    torch.manual_seed(0)
    net = exeunt.create_model("mobilenetv2_035", num_classes=3)
    transform = Transform((32, 32))
    files = sorted(images.rglob("*.png"))
    x = torch.stack([transform(Image.open(file)) for file in files])
    for norm in (m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        norm.momentum = 1.0  # one batch settles the statistics
    with torch.no_grad():
        net.train()(x)
        for stage, logits in zip(net.stages, net.eval()(x), strict=True):
            (linear,) = (m for m in stage.exit.modules() if isinstance(m, torch.nn.Linear))
            scale = 1.5 / logits.std(dim=0)
            linear.weight *= scale[:, None]
            linear.bias.copy_(scale * (linear.bias - logits.mean(dim=0)))
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    made = exeunt.Classifier(net, transform=transform, class_names=CLASSES, policy="confidence:0.8")
    made.save(path)
    return path
