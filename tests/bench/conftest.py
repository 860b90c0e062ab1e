"""A small network with random weights, as it is measured."""

from __future__ import annotations

import pytest
import torch

from exeunt.bench import Subject, enliven, noise
from exeunt.data import Transform
from exeunt.models import create_model


def subject_of(name: str, size: int = 32, pictures: int = 5) -> Subject:
    torch.manual_seed(0)
    transform = Transform((size, size))
    pixels = noise(pictures, transform)
    inputs = torch.stack([transform.normalise_pixels(one) for one in pixels])
    net = enliven(create_model(name, 4), inputs)
    return Subject(name, net, transform, pixels, [inputs], ("a", "b", "c", "d"))


@pytest.fixture(scope="session")
def rex() -> Subject:
    return subject_of("rex_mobilenetv2_035")


@pytest.fixture(scope="session")
def mobilenet() -> Subject:
    return subject_of("mobilenetv2_035")
