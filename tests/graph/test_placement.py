"""Blocks that do not meet, in the smallest arena there is."""

from __future__ import annotations

import random
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exeunt.graph.placement import Block, least_bytes, place


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    first, more = draw(st.integers(0, 9)), draw(st.integers(0, 4))
    spans = [(first, first + more)]
    if draw(st.booleans()):
        again = first + more + draw(st.integers(2, 5))
        spans.append((again, again + draw(st.integers(0, 4))))
    return Block(draw(st.integers(1, 9)), tuple(spans))


def events(block: Block) -> set[int]:
    return {event for first, last in block.spans for event in range(first, last + 1)}


@settings(max_examples=100, deadline=None)
@given(st.lists(blocks(), max_size=12), st.integers(1, 4))
def test_placed_blocks_do_not_meet(drawn: list[Block], align: int) -> None:
    offsets = place(drawn, align_bytes=align, effort=1000)
    needed = [
        {(byte, event) for byte in range(at, at + block.size_bytes) for event in events(block)}
        for block, at in zip(drawn, offsets, strict=True)
    ]
    assert len(set().union(*needed)) == sum(map(len, needed))
    assert all(offset % align == 0 for offset in offsets)
    arena = max((at + b.size_bytes for b, at in zip(drawn, offsets, strict=True)), default=0)
    assert arena >= least_bytes(drawn, align)


def test_many_neighbours_are_no_other_case(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = [Block(1 + k * 7 % 5, ((k * 3 % 11, k * 3 % 11 + k % 4),)) for k in range(60)]
    few = place(drawn, align_bytes=2, effort=10_000)
    monkeypatch.setattr("exeunt.graph.placement._MANY", 0)
    assert place(drawn, align_bytes=2, effort=10_000) == few


def test_what_is_needed_in_between_fills_the_gap() -> None:
    """A block that is needed at even events leaves room for one that is needed at odd ones."""
    even = Block(8, tuple((event, event) for event in range(0, 9, 2)))
    odd = Block(8, tuple((event, event) for event in range(1, 9, 2)))
    assert place([even, odd]) == (0, 0)


def test_the_least_by_hand() -> None:
    """At event 1 stand 5, 3 and 2 bytes, each but the last up to a multiple of 4: the 5 on top."""
    drawn = [Block(5, ((0, 1),)), Block(3, ((1, 2),)), Block(2, ((1, 1), (4, 4)))]
    assert least_bytes(drawn) == 10
    assert least_bytes(drawn, 4) == 4 + 4 + 5
    assert least_bytes([]) == 0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 6), st.integers(0, 4)), max_size=6))
def test_small_arenas_are_the_smallest(drawn: list[tuple[int, int, int]]) -> None:
    boxes = [Block(size, ((first, first + more),)) for size, first, more in drawn]
    ends = [at + box.size_bytes for at, box in zip(place(boxes), boxes, strict=True)]
    assert max(ends, default=0) == min(lowest_fit(order) for order in permutations(boxes))


def lowest_fit(order: tuple[Block, ...]) -> int:
    """The arena if each goes as low as those before it allow; some order gives the smallest."""
    placed: list[tuple[int, Block]] = []
    for block in order:
        offset = 0
        while any(
            offset < at + other.size_bytes
            and at < offset + block.size_bytes
            and events(block) & events(other)
            for at, other in placed
        ):
            offset += 1
        placed.append((offset, block))
    return max((at + block.size_bytes for at, block in placed), default=0)


def test_more_is_looked_at_only_where_the_least_is_far_off() -> None:
    """With no effort the first orders are all there is; going further comes nearer, and stops where
    the arena is 2 % above the least.
    """
    chance = random.Random(3)
    starts = [chance.randint(0, 60) for _ in range(70)]
    drawn = [Block(chance.choice((3, 7, 12)), ((s, s + chance.randint(1, 12)),)) for s in starts]

    def arena(**given: int) -> int:
        offsets = place(drawn, **given)
        return max(at + block.size_bytes for at, block in zip(offsets, drawn, strict=True))

    least = least_bytes(drawn)
    first, further = arena(effort=0), arena(effort=0, further=600_000)
    assert first > 1.02 * least
    assert further < first
    assert arena(effort=600_000) <= further
