"""Placements by hand, by definition and by trying all of them; a verifier that bites."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from exeunt.backbone import attach_exits
from exeunt.errors import ExeuntError
from exeunt.graph import Buffer, Graph, buffers_of, build_graph, live_bytes, make_plan, verify_plan
from exeunt.models import create_model


def graph_of_two_stages() -> Graph:
    """3x8x8 -> 4x8x8 -> exit; -> 6x4x4 -> exit."""
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 6, 2, 2))
    return build_graph(attach_exits(backbone, [0], num_classes=5, image_shape=(3, 8, 8)), 8)


def test_lifetimes_by_hand() -> None:
    """Nodes: 0 conv, 1 average, 2 linear; 3 conv, 4 average, 5 linear. Logits stay to the end of
    their stage; the first map is read by the average and by the second convolution.
    """
    found = {
        buffer.names: (buffer.size_bytes, buffer.first, buffer.last)
        for buffer in buffers_of(graph_of_two_stages(), 1)
    }
    assert found == {
        ("image",): (192, -1, 0),
        ("stages.0.trunk.0",): (256, 0, 3),
        ("stages.0.exit",): (4, 1, 2),
        ("stages.0.exit.classifier",): (5, 2, 2),
        ("stages.1.trunk.1",): (96, 3, 4),
        ("stages.1.exit",): (6, 4, 5),
        ("stages.1.exit.classifier",): (5, 5, 5),
    }


def test_live_bytes_by_hand() -> None:
    graph = graph_of_two_stages()
    assert live_bytes(buffers_of(graph, 1)) == [448, 260, 265, 352, 102, 11]
    assert live_bytes(buffers_of(graph, 4, image=False))[0] == 1024
    plan = make_plan(buffers_of(graph, 1))
    assert (plan.arena_bytes, plan.bound_bytes, plan.waste_bytes) == (448, 448, 0)


def test_a_sum_takes_over_what_nobody_reads_again() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.conv(x)

    backbone = nn.Sequential(nn.Conv2d(3, 4, 1), Block())
    graph = build_graph(attach_exits(backbone, [-1], 2, image_shape=(3, 8, 8)), 8)
    shared = [b.names for b in buffers_of(graph, 1) if len(b.names) > 1]
    assert shared == [("stages.0.trunk.0", "stages.0.trunk.1")]


def test_offsets_are_aligned() -> None:
    plan = make_plan(buffers_of(graph_of_two_stages(), 1), align_bytes=16)
    assert all(offset % 16 == 0 for offset in plan.offsets_bytes)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 50), st.integers(0, 12), st.integers(0, 6)),
        min_size=1,
        max_size=14,
    )
)
def test_no_two_that_live_together_overlap(drawn: list[tuple[int, int, int]]) -> None:
    buffers = [
        Buffer((str(k),), size, first, first + length)
        for k, (size, first, length) in enumerate(drawn)
    ]
    plan = make_plan(buffers)
    taken = [
        {(step, byte) for step in range(b.first, b.last + 1) for byte in range(o, o + b.size_bytes)}
        for b, o in zip(plan.buffers, plan.offsets_bytes, strict=True)
    ]
    assert len(set().union(*taken)) == sum(map(len, taken))
    most = max(sum(b.size_bytes for b in buffers if b.first <= s <= b.last) for s in range(20))
    assert plan.bound_bytes == most <= plan.arena_bytes


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 9), st.integers(0, 6), st.integers(0, 4)), min_size=2, max_size=6
    )
)
def test_small_arenas_are_the_smallest_there_are(drawn: list[tuple[int, int, int]]) -> None:
    """Some order of placing each as low as it can gives the optimum, so all are tried."""
    buffers = [Buffer((str(k),), size, at, at + more) for k, (size, at, more) in enumerate(drawn)]
    best = min(lowest_fit(order) for order in permutations(buffers))
    assert make_plan(buffers).arena_bytes == best


def lowest_fit(order: Sequence[Buffer]) -> int:
    placed: list[tuple[int, Buffer]] = []
    for buffer in order:
        offset = 0
        while any(
            offset < start + other.size_bytes and start < offset + buffer.size_bytes
            for start, other in placed
            if other.first <= buffer.last and buffer.first <= other.last
        ):
            offset += 1
        placed.append((offset, buffer))
    return max(offset + buffer.size_bytes for offset, buffer in placed)


def test_the_verifier_finds_what_is_overwritten() -> None:
    graph = graph_of_two_stages()
    plan = make_plan(buffers_of(graph, 1))
    assert verify_plan(graph, plan, 1) == 448
    for k, buffer in enumerate(plan.buffers):
        if buffer.names == ("stages.0.exit",):
            home = plan.offset_of["stages.0.trunk.0"]
            offsets = (*plan.offsets_bytes[:k], home, *plan.offsets_bytes[k + 1 :])
    with pytest.raises(ExeuntError, match=r"stages.0.exit would be written over stages.0.trunk.0"):
        verify_plan(graph, replace(plan, offsets_bytes=offsets), 1)


def test_the_verifier_finds_what_was_overwritten_before_it_is_read() -> None:
    graph = graph_of_two_stages()
    plan = make_plan(buffers_of(graph, 1))
    k = [b.names for b in plan.buffers].index(("stages.0.exit.classifier",))
    home = plan.offset_of["stages.0.trunk.0"]
    offsets = (*plan.offsets_bytes[:k], home, *plan.offsets_bytes[k + 1 :])
    with pytest.raises(
        ExeuntError, match=r"stages.1.trunk.1 reads stages.0.trunk.0, but stages.0.exit.classifier"
    ):
        verify_plan(graph, replace(plan, offsets_bytes=offsets), 1)


def test_the_verifier_finds_an_arena_that_is_too_small() -> None:
    graph = graph_of_two_stages()
    plan = make_plan(buffers_of(graph, 1))
    with pytest.raises(ExeuntError, match="ends at byte 448 of 447"):
        verify_plan(graph, replace(plan, arena_bytes=447), 1)


@pytest.mark.parametrize(
    ("name", "size_bytes"),
    [("rex_mobilenetv2", 1764 * 1024), ("mobilenetv2", 112 * 112 * 2 * 96 * 4 * 5 // 8)],
)
def test_shallow_deep_networks_need_no_more_than_is_alive(name: str, size_bytes: int) -> None:
    """With ReX 112 x 112 x 32 and 28 x 28 x 64; without, 112 x 112 x 96 and 56 x 56 x 96."""
    plan = make_plan(buffers_of(build_graph(create_model(name), 224), 4, image=False))
    assert plan.waste_bytes == 0
    assert plan.arena_bytes == size_bytes
