"""A small network with random weights, as it is measured."""

from __future__ import annotations

import pytest
import torch

from exeunt.bench import Workload, random_pixels, set_batch_statistics
from exeunt.data import Transform
from exeunt.models import create_model


def subject_of(name: str, size: int = 32, pictures: int = 5) -> Workload:
    torch.manual_seed(0)
    transform = Transform((size, size))
    pixels = random_pixels(pictures, transform)
    inputs = torch.stack([transform.normalise_pixels(one) for one in pixels])
    net = set_batch_statistics(create_model(name, 4), inputs)
    return Workload(name, net, transform, pixels, [inputs], ("a", "b", "c", "d"))


@pytest.fixture(scope="session")
def rex() -> Workload:
    return subject_of("rex_mobilenetv2_035")


@pytest.fixture(scope="session")
def mobilenet() -> Workload:
    return subject_of("mobilenetv2_035")
