"""The papers' figures, by the papers' rule."""

from __future__ import annotations

import pytest

from exeunt.graph import build_graph
from exeunt.graph.paper import paper_peak
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
