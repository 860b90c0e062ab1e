"""The papers' figures, by the papers' rule."""

from __future__ import annotations

import pytest
from torch import nn

from exeunt.backbone import attach_exits
from exeunt.graph import build_graph
from exeunt.graph.paper import block_peaks, made_on_the_fly, paper_peak
from exeunt.models import create_model


@pytest.mark.parametrize(
    ("name", "size_bytes"),
    [
        ("resnet34", 112 * 112 * 64 * 4),  # 3.0625 MiB
        ("densenet121", 112 * 112 * 64 * 4),
        ("mobilenetv2", 112 * 112 * (32 + 16) * 4),  # 2.297 MiB
        ("rex_mobilenetv2", (28 * 28 * 64 + 14 * 14 * 64) * 4),  # 245.0 KiB
        ("rex_resnet34", 28 * 28 * 128 * 4),  # 0.383 MiB
        ("rex_densenet121", 14 * 14 * 1024 * 4),  # 0.766 MiB
    ],
)
def test_table_2(name: str, size_bytes: int) -> None:
    assert paper_peak(build_graph(create_model(name), 224)).size_bytes == size_bytes


def test_what_is_made_on_the_fly_does_not_count() -> None:
    """A 1x1 convolution before a pooling; not one before a convolution, and no 3x3 convolution."""
    backbone = nn.Sequential(
        *(nn.Conv2d(3, 5, 1), nn.Conv2d(5, 7, 3, padding=1), nn.MaxPool2d(2)),
        *(nn.Conv2d(7, 9, 1), nn.AvgPool2d(2), nn.Conv2d(9, 11, 1)),
    )
    graph = build_graph(attach_exits(backbone, [-1], 2, image_shape=(3, 8, 8)), 8)
    assert made_on_the_fly(graph) == {"stages.0.trunk.3", "stages.0.trunk.5"}
    sizes = [peak.size_bytes for peak in block_peaks(graph, 1)]
    assert sizes == [5 * 64, 7 * 64, 7 * 16, 0, 9 * 4, 0]
    assert paper_peak(graph).size_bytes == 4 * 7 * 64
