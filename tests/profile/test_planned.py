"""Plans as memory: sizes by hand, places that do not meet, peaks that are told."""

from __future__ import annotations

import itertools

import pytest

from exeunt.errors import ExeuntError
from exeunt.graph import Graph, plan_stream
from exeunt.profile import Memory, Peak, Span, spell_bytes
from exeunt.profile.memory import live_bytes, reached_bytes
from exeunt.profile.planned import layerwise_memory, streamed_memory


def test_layerwise_by_hand(two_stages_graph: Graph) -> None:
    """The first convolution holds 3x8x8 and 4x8x8; without the image, 4x8x8 and 6x4x4 are most."""
    memory = layerwise_memory(two_stages_graph, "int8")
    assert (memory.total_bytes, memory.arena_bytes, memory.bound_bytes) == (448, 448, 448)
    assert memory.without_image_bytes == 256 + 96
    assert memory.live_bytes.tolist() == [448, 260, 265, 352, 102, 11]
    assert memory.exit_steps == (2, 5)
    assert memory.exit_bytes == memory.exit_bound_bytes == (448, 448)
    assert memory.peak == Peak(
        0, "stages.0.trunk.0", 448, (("stages.0.trunk.0", 256), ("image", 192))
    )
    wide = layerwise_memory(two_stages_graph, "float32")
    assert wide.to_dict()["total_bytes"] == 4 * 448
    assert [span.offset_bytes for span in wide.spans] == [4 * s.offset_bytes for s in memory.spans]


def test_streamed_by_hand(two_stages_graph: Graph) -> None:
    """The image is a ring of three rows of 8 pixels, which the 3x3 filter reads."""
    memory = streamed_memory(two_stages_graph, "int8")
    plan = plan_stream(two_stages_graph, 1)
    assert memory.row_window_bytes == 3 * 8 * 3
    assert memory.total_bytes == memory.arena_bytes == plan.arena_bytes
    assert memory.bound_bytes == plan.bound_bytes == memory.live_bytes.max()
    assert memory.least_bytes == plan.least_bytes
    assert memory.is_least
    assert not layerwise_memory(two_stages_graph, "int8").is_least
    assert memory.exit_steps[-1] == len(memory.steps) - 1
    assert "image" in memory.steps


@pytest.mark.parametrize("make", [layerwise_memory, streamed_memory])
def test_bars_of_one_moment_lie_apart_and_inside(make: object, rex_graph: Graph) -> None:
    memory = make(rex_graph, "int8")  # type: ignore[operator]
    for step in range(len(memory.steps)):
        there = sorted(
            (span.offset_bytes, span.offset_bytes + span.size_bytes)
            for span in memory.spans
            if span.first <= step <= span.last
        )
        assert all(low[1] <= high[0] for low, high in itertools.pairwise(there)), step
    ends = [span.offset_bytes + span.size_bytes for span in memory.spans]
    assert max(ends) == memory.total_bytes == memory.exit_bytes[-1]
    assert memory.exit_bound_bytes[-1] == memory.bound_bytes
    assert all(a <= b for a, b in zip(memory.exit_bound_bytes, memory.exit_bytes, strict=True))
    assert memory.bound_bytes == memory.live_bytes.max() == memory.peak.live_bytes
    assert sum(size for _, size in memory.peak.holders) == memory.peak.live_bytes
    assert {memory.steps[step].split(".")[1] for step in memory.exit_steps} == {"0", "1"}


def test_what_an_exit_needs_is_what_was_reached() -> None:
    spans = [Span("a", 0, 1, 0, 10), Span("b", 2, 3, 30, 5), Span("c", 4, 4, 0, 20)]
    assert reached_bytes(spans, [1, 3, 4]) == (10, 35, 35)
    assert live_bytes(spans, 5).tolist() == [10, 10, 5, 5, 20]


def test_a_peak_is_a_sentence() -> None:
    sizes = {"a": 5000, "b": 9, "c": 3000, "d": 8, "e": 7}
    spans = tuple(Span(name, 0, 1, 0, size) for name, size in sizes.items())
    memory = Memory("layerwise", "int8", 9000, (9000,), ("stem", "head"), (1,), spans)
    said = "7.8 KiB at stem: a (4.9 KiB), c (2.9 KiB), b (9 B) and 2 others (15 B)"
    assert str(memory.peak) == said
    assert str(Peak(0, "x", 2048, (("a", 2048),))) == "2.0 KiB at x: a (2.0 KiB)"


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (250_880, "245.0 KiB"), (2_408_448, "2.297 MiB")],
)
def test_bytes_in_words(size: int, text: str) -> None:
    assert spell_bytes(size) == text


def test_an_unknown_type_of_numbers(two_stages_graph: Graph) -> None:
    with pytest.raises(ExeuntError, match="dtype='float16'; did you mean float32"):
        layerwise_memory(two_stages_graph, "float16")
