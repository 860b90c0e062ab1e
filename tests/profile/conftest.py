"""Small networks whose costs can be worked out by hand."""

from __future__ import annotations

import pytest
from torch import nn

from exeunt.backbone import attach_exits
from exeunt.graph import Graph, build_graph
from exeunt.models import create_model
from exeunt.net import MultiExitNet


@pytest.fixture(scope="session")
def two_stages() -> MultiExitNet:
    """3x8x8 -> 4x8x8 -> exit of 5; -> 6x4x4 -> exit of 5."""
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 6, 2, 2))
    return attach_exits(backbone, [0], num_classes=5, image_shape=(3, 8, 8))


@pytest.fixture(scope="session")
def two_stages_graph(two_stages: MultiExitNet) -> Graph:
    return build_graph(two_stages, 8)


@pytest.fixture(scope="session")
def rex_net() -> MultiExitNet:
    return create_model("rex_mobilenetv2_035", 4, exits=[2])


@pytest.fixture(scope="session")
def rex_graph(rex_net: MultiExitNet) -> Graph:
    return build_graph(rex_net, 64)
