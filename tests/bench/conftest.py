"""A small network with random weights, as it is measured."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from exeunt.backbone import attach_exits
from exeunt.bench import Workload, random_pixels, set_batch_statistics
from exeunt.data import Transform
from exeunt.models import create_model
from exeunt.net import MultiExitNet
from exeunt.ops.conv import ConvNormAct


def subject_of(name: str, size: int = 32, pictures: int = 5) -> Workload:
    torch.manual_seed(0)
    return workload_of(name, create_model(name, 4), size, pictures)


def workload_of(name: str, net: MultiExitNet, size: int = 32, pictures: int = 5) -> Workload:
    transform = Transform((size, size))
    pixels = random_pixels(pictures, transform)
    inputs = torch.stack([transform.normalise_pixels(one) for one in pixels])
    return Workload(
        name, set_batch_statistics(net, inputs), transform, pixels, [inputs], ("a", "b", "c", "d")
    )


@pytest.fixture(scope="session")
def rex() -> Workload:
    return subject_of("rex_mobilenetv2_035")


@pytest.fixture(scope="session")
def two_blocks() -> Workload:
    """For what takes its time with every layer."""
    torch.manual_seed(0)
    blocks = nn.Sequential(ConvNormAct(3, 8, 3, 2), ConvNormAct(8, 12, 3))
    return workload_of("two", attach_exits(blocks, [0], 4, image_shape=(3, 32, 32)))


@pytest.fixture(scope="session")
def mobilenet() -> Workload:
    return subject_of("mobilenetv2_035")
