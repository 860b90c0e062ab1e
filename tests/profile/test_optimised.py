"""Memory bought with multiply-adds: by hand, and RNNPool's published figures."""

from __future__ import annotations

import pytest
from torch import nn

from exeunt.backbone import attach_exits
from exeunt.graph import Graph, build_graph
from exeunt.models import create_model
from exeunt.ops.rex import ReX2d
from exeunt.profile.memory import Cut
from exeunt.profile.optimised import cuts, optimised_memory, paper_memory, recompute_free_bytes


def test_two_convolutions_by_hand() -> None:
    """A pixel behind the second filter reads 3x3 pixels behind the first, which has stride 1."""
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 6, 3, 2, padding=1))
    graph = build_graph(attach_exits(backbone, [-1], 5, image_shape=(3, 8, 8)), 8)
    first, second, head = 4 * 27 * 64, 6 * 36 * 16, 5 * 6
    assert cuts(graph, 1) == [
        Cut("", 4 * 64, first + second + head),
        Cut("stages.0.trunk.0", 4 * 64, first + second + head),
        Cut("stages.0.trunk.1", 6 * 16, 16 * (6 * 36 + 9 * 4 * 27) + head),
    ]
    memory = optimised_memory(graph, "float32")
    assert (memory.total_bytes, memory.macs) == (4 * 96, 16 * (216 + 972) + 30)
    assert memory.recompute_free_bytes is None
    assert memory.exit_bytes == (4 * 96,)


def test_a_window_is_never_larger_than_its_map() -> None:
    backbone = nn.Sequential(nn.Conv2d(3, 2, 5, padding=2), nn.Conv2d(2, 2, 5, padding=2))
    graph = build_graph(attach_exits(backbone, [-1], 2, image_shape=(3, 4, 4)), 4)
    *_, last = cuts(graph, 1)
    assert last.macs == 16 * (2 * 2 * 25 + 16 * 2 * 3 * 25) + 2 * 2


def test_rex_is_cut_behind_itself_and_computed_patch_by_patch() -> None:
    rex = ReX2d(4, 3, 2, 6, 4)
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), rex, nn.Conv2d(16, 2, 1))
    graph = build_graph(attach_exits(backbone, [-1], 2, image_shape=(3, 32, 32)), 32)
    found = {cut.block: cut for cut in cuts(graph, 1)}
    assert list(found) == ["stages.0.trunk.1"]
    macs = 64 * 36 * 4 * 27 + rex.macs(32, 32).per_patch + 64 * 16 * 2 + 2 * 2
    assert found["stages.0.trunk.1"] == Cut("stages.0.trunk.1", 16 * 64, macs)


def test_where_rex_reads_what_an_exit_reads_nothing_is_cut() -> None:
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), ReX2d(4, 3, 2, 4, 4))
    graph = build_graph(attach_exits(backbone, [0], 2, image_shape=(3, 16, 16)), 16)
    assert cuts(graph, 1) == [Cut("", 16 * 16, graph.exit_macs[-1])]


@pytest.mark.parametrize(
    ("name", "size_mib", "giga"),
    [("mobilenetv2", 0.38, 1.00), ("densenet121", 1.53, 24.41)],
)
def test_published_figures_of_rnnpool(name: str, size_mib: float, giga: float) -> None:
    """Saha et al., NeurIPS 2020, Table 2: base networks, memory-optimised."""
    graph = build_graph(create_model(name, exits="last"), 224)
    found = [cut for cut in cuts(graph, 4) if round(cut.size_bytes / 2**20, 2) == size_mib]
    assert min(cut.macs for cut in found) / 1e9 == pytest.approx(giga, abs=0.006)


def test_the_published_least_by_hand() -> None:
    """112 x 112 x 16 to 56 x 56 x 24 with 96 expanded channels and stride 2 is MobileNetV2's."""
    graph = build_graph(create_model("mobilenetv2", exits="last"), 224)
    numbers = 112 * 112 * 16 + 1 * 56 * 24 + 1 * 96 * 112
    assert recompute_free_bytes(graph, 4) == 4 * numbers
    memory = paper_memory(graph, "float32")
    assert memory.total_bytes == memory.peak.live_bytes == 112 * 112 * (32 + 16) * 4
    assert memory.peak.module == "stages.0.trunk.group0_block0"
    assert len(memory.peak.holders) == 2


def test_exits_behind_the_cut(rex_graph: Graph) -> None:
    for make in (paper_memory, optimised_memory):
        memory = make(rex_graph, "int8")
        assert len(memory.exit_bytes) == 2
        assert memory.exit_bytes[0] <= memory.exit_bytes[1] == memory.total_bytes
        assert memory.live_bytes.max() == memory.total_bytes
