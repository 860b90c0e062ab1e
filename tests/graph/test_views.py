"""What is read where it lies: by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from exeunt.graph.operators import Activation, Concat, Flatten, GridPool, Linear, Slice
from exeunt.graph.views import Segment, is_view, segments_of

Sketcher = Callable[..., Any]


def test_a_concatenation_of_slices_of_concatenations(sketch: Sketcher) -> None:
    net = sketch(3, 8, 8)
    a, b = net.conv("image", 4), net.conv("image", 6)
    ab = net.add(Concat(), a, b)
    middle = net.add(Slice(0, 2, 7), ab)
    nested = net.add(Concat(), middle, b, "image")
    inner = net.add(Slice(0, 3, 9), nested)
    net.exit(inner)
    segments = segments_of(net.graph())
    assert segments[ab] == (Segment(a, 0, 4), Segment(b, 0, 6))
    assert segments[middle] == (Segment(a, 2, 2), Segment(b, 0, 3))
    assert segments[nested] == (*segments[middle], Segment(b, 0, 6), Segment("image", 0, 3))
    assert segments[inner] == (Segment(b, 1, 2), Segment(b, 0, 4))
    assert [is_view(name, segments) for name in (a, ab, middle, inner, "image")] == [
        *(False, True, True, True, False)
    ]


def test_neighbours_in_one_tensor_are_one(sketch: Sketcher) -> None:
    net = sketch(3, 8, 8)
    a = net.conv("image", 8)
    halves = [net.add(Slice(0, 4 * k, 4 * k + 4), a) for k in range(2)]
    again = net.add(Concat(), *halves)
    net.exit(again)
    assert segments_of(net.graph())[again] == (Segment(a, 0, 8),)


def test_slices_of_rows_and_of_every_other_channel_are_stored(sketch: Sketcher) -> None:
    net = sketch(4, 8, 8)
    rows, odd = net.add(Slice(1, 0, 4), "image"), net.add(Slice(0, 1, 4, 2), "image")
    net.exit(rows)
    net.exit(odd)
    segments = segments_of(net.graph())
    assert not is_view(rows, segments)
    assert not is_view(odd, segments)


def test_a_flattened_map_is_a_view_if_only_matrices_read_it(sketch: Sketcher) -> None:
    net = sketch(3, 8, 8)
    cells = net.add(GridPool("average", (2, 2)), "image")
    flat = net.add(Flatten(), cells)
    read_by_another = net.add(Flatten(), cells)
    net.add(Activation("relu"), read_by_another)
    net.add(Linear(), read_by_another, weight=torch.randn(2, 12))
    logits = net.add(Linear(), flat, weight=torch.randn(2, 12))
    net.stages.append((net.nodes, logits))
    segments = segments_of(net.graph())
    assert segments[flat] == (Segment(cells, 0, 3),)
    assert not is_view(read_by_another, segments)


def test_logits_are_stored(sketch: Sketcher) -> None:
    net = sketch(3, 8, 8)
    first = net.exit("image")
    second = net.exit(net.conv("image", 4))
    both = net.add(Concat(), first, second)
    net.stages.append((net.nodes, both))
    assert not is_view(both, segments_of(net.graph()))
