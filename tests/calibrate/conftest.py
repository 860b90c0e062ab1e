"""Tables whose exits get better and more certain with depth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from exeunt.evaluate import ExitTable


def build(logits: Tensor, targets: Tensor, exit_macs: tuple[int, ...] | None = None) -> ExitTable:
    return ExitTable(
        logits=logits,
        targets=targets,
        task="regression" if logits.shape[2] == 1 else "classification",
        exit_macs=exit_macs or tuple(10 * (k + 1) for k in range(len(logits))),
        names=tuple(str(row) for row in range(len(targets))),
        split="calibration",
        weights_fingerprint="w",
        data_fingerprint="d",
    )


def draw(seed: int = 0, samples: int = 300, classes: int = 4, exits: int = 5) -> ExitTable:
    """Exits that share most of their noise, so that they mostly agree."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(classes, (samples,), generator=generator)
    common = torch.randn(1, samples, classes, generator=generator)
    own = torch.randn(exits, samples, classes, generator=generator)
    sharpness = torch.linspace(1, 3, exits).view(-1, 1, 1)
    signal = sharpness * nn.functional.one_hot(targets, classes)
    return build(signal + common + own * torch.linspace(1, 0.4, exits).view(-1, 1, 1), targets)


def draw_values(seed: int = 0, samples: int = 300, exits: int = 5) -> ExitTable:
    """Regression whose errors shrink with depth."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randn(samples, generator=generator)
    noise = torch.randn(exits, samples, generator=generator)
    spread = torch.linspace(1, 0.1, exits).view(-1, 1)
    return build((targets + spread * noise).unsqueeze(2), targets)


@pytest.fixture(scope="session")
def make_table() -> Callable[..., ExitTable]:
    """Of logits (E N K) and targets (N,); the exits cost 10, 20, ... unless told otherwise."""
    return build


@pytest.fixture(scope="session")
def noisy_table() -> Callable[..., ExitTable]:
    return draw


@pytest.fixture(scope="session")
def noisy_values() -> Callable[..., ExitTable]:
    return draw_values


@pytest.fixture(scope="session")
def everyday64() -> ExitTable:
    """What `rex_mobilenetv2_075.everyday64` says of 600 of its calibration images, in float16."""
    recorded = load_file(Path(__file__).parent / "everyday64.safetensors")
    return build(
        recorded["logits"].float(),
        recorded["targets"].long(),
        tuple(recorded["exit_macs"].tolist()),
    )
