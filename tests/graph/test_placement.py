"""Gaps between strips and the offsets that keep them, against trying them out."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from exeunt.graph import Strip
from exeunt.graph.placement import Block, keep_apart, place
from exeunt.graph.strips import blocks_of

times = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), min_size=1, max_size=2)


@st.composite
def strips(draw: st.DrawFn) -> Strip:
    slots = []
    for _ in range(draw(st.integers(1, 4))):
        (first, more), *second = draw(times)
        spans = [(first, first + more)]
        spans += [(spans[0][1] + 2 + at, spans[0][1] + 2 + at + more) for at, more in second]
        slots.append(tuple(spans))
    return Strip("", draw(st.integers(1, 6)), tuple(slots))


def bytes_needed(strip: Strip, offset: int) -> set[tuple[int, int]]:
    """Byte and event, of all that a strip needs at this offset."""
    return {
        (offset + slot * strip.row_bytes + byte, event)
        for slot, spans in enumerate(strip.spans)
        for first, last in spans
        for event in range(first, last + 1)
        for byte in range(strip.row_bytes)
    }


@settings(max_examples=80, deadline=None)
@given(strips(), strips())
def test_gaps_are_where_two_strips_would_meet(one: Strip, two: Strip) -> None:
    first, _ = blocks_of([one, two])
    there = bytes_needed(two, 0)
    for above in range(-one.size_bytes - 1, two.size_bytes + 2):
        meets = bool(bytes_needed(one, above) & there)
        assert meets == any(low < above < high for low, high in first.gaps.get(1, []))


@settings(max_examples=60, deadline=None)
@given(st.lists(strips(), min_size=1, max_size=6), st.integers(1, 4))
def test_placed_strips_do_not_meet(drawn: list[Strip], align: int) -> None:
    offsets = place(blocks_of(drawn), 0, align_bytes=align, effort=1000)
    needed = [bytes_needed(*placed) for placed in zip(drawn, offsets, strict=True)]
    assert len(set().union(*needed)) == sum(map(len, needed))
    assert all(offset % align == 0 for offset in offsets)


def test_a_map_grows_where_another_shrinks() -> None:
    """Row k of the second is made at event k, and row k of the first last read then: five rows."""
    first = Strip("first", 10, tuple(((0, event),) for event in range(4)))
    second = Strip("second", 10, tuple(((event, 9),) for event in range(4)))
    assert sorted(place(blocks_of([first, second]), 0)) == [0, 10]


def test_what_fills_an_empty_slot() -> None:
    """A slot that is needed at even events leaves room for one that is needed at odd ones."""
    even = Strip("even", 8, (tuple((event, event) for event in range(0, 9, 2)),))
    odd = Strip("odd", 8, (tuple((event, event) for event in range(1, 9, 2)),))
    assert place(blocks_of([even, odd]), 0) == [0, 0]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 6), st.integers(0, 4)), max_size=6))
def test_small_arenas_are_the_smallest(drawn: list[tuple[int, int, int]]) -> None:
    blocks = [Block(size, first, first + more) for size, first, more in drawn]
    for i, mine in enumerate(blocks):
        for j, theirs in enumerate(blocks[:i]):
            if mine.first <= theirs.last and theirs.first <= mine.last:
                keep_apart(blocks, i, j, [(-mine.size_bytes, theirs.size_bytes)])
    offsets = place(blocks, 0)
    ends = [offset + block.size_bytes for offset, block in zip(offsets, blocks, strict=True)]
    assert max(ends, default=0) == min(lowest_fit(blocks, order) for order in permutations(blocks))


def lowest_fit(blocks: list[Block], order: tuple[Block, ...]) -> int:
    """The arena if each goes as low as those before it allow; some order gives the smallest."""
    placed: list[tuple[int, Block]] = []
    for block in order:
        offset = 0
        while any(
            offset < at + other.size_bytes and at < offset + block.size_bytes
            for at, other in placed
            if other.first <= block.last and block.first <= other.last
        ):
            offset += 1
        placed.append((offset, block))
    return max((at + block.size_bytes for at, block in placed), default=0)
