"""Orders and rings that can be worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from exeunt.graph import Graph
from exeunt.graph.demand import Demand
from exeunt.graph.fuse import fuse
from exeunt.graph.operators import Add, Concat, Pool, Slice
from exeunt.graph.order import Order, Rules, StageOrders
from exeunt.graph.row_buffers import RowBuffer, row_buffers_of
from exeunt.graph.schedule import joined
from exeunt.graph.search import order_stages
from exeunt.graph.stage_rows import stages_of
from exeunt.graph.views import segments_of

Sketcher = Callable[..., Any]


def ordered(graph: Graph, rules: Rules) -> tuple[list[Order], Demand]:
    """Every stage by these rules, for int8."""
    graph = fuse(graph)
    segments = segments_of(graph)
    demand = Demand.of(graph, segments, element_bytes=1, image=True)
    orders = [
        StageOrders(stage, demand).order(rules, math.inf) for stage in stages_of(graph, segments)
    ]
    assert None not in orders
    return orders, demand  # type: ignore[return-value]


def most(strip: RowBuffer, events: int) -> int:
    """Rows that are needed at one time."""
    return int(strip.live_bytes(events).max()) // strip.row_bytes


def slots(graph: Graph, rules: Rules = Rules()) -> dict[str, tuple[int, int]]:  # noqa: B008
    """Rows of every strip that are needed at one time, and the bytes of each."""
    orders, demand = ordered(graph, rules)
    schedule = joined([order.schedule for order in orders])
    row_buffers, _ = row_buffers_of(schedule, demand)
    return {s.name: (most(s, len(schedule.events)), s.row_bytes) for s in row_buffers}


def test_a_dense_block_of_two_layers(sketch: Sketcher) -> None:
    """Maps of 8 columns: x of 4 channels; a (2) of x; b (2) of x and a; y (3) of all, each by 3 x 3
    but the last.

    Row r of y needs row r of b, which needs rows r - 1 to r + 1 of x and of a; the last of these
    needs row r + 2 of x. So x is a ring of 4 rows, a of 3; b and y of one. Gathering takes 9 pixels
    of 6 channels, or one of 8; the exit's sums are 3 of 4 bytes, its logits 2 of 2.
    """
    net = sketch(3, 16, 8)
    x = net.conv("image", 4, kernel=3)
    a = net.conv(x, 2, kernel=3)
    xa = net.add(Concat(), x, a)
    b = net.conv(xa, 2, kernel=3)
    xab = net.add(Concat(), xa, b)
    y = net.conv(xab, 3)
    logits = net.exit(y)
    pooled = f"t{int(logits[1:]) - 1}"
    assert slots(net.graph()) == {
        "image": (3, 24),
        x: (4, 32),
        a: (3, 16),
        b: (1, 16),
        y: (1, 24),
        pooled: (1, 3),
        logits: (1, 4),
        f"{b} (scratch)": (1, 54),
        f"{y} (scratch)": (1, 8),
        f"{pooled} (kept)": (1, 12),
    }


def test_a_map_that_is_completed_first_has_all_its_rows(sketch: Sketcher) -> None:
    net = sketch(3, 16, 8)
    x = net.conv("image", 4, kernel=3)
    y = net.conv(x, 4, kernel=3)
    net.exit(y)
    assert slots(net.graph())[x] == (3, 32)
    assert slots(net.graph(), Rules(whole=frozenset({x})))[x] == (16, 32)


def test_scaling_a_concatenation_leaves_no_copy_of_it(sketch: Sketcher) -> None:
    net = sketch(3, 16, 8)
    joined_up = net.add(Concat(), "image", net.conv("image", 5, kernel=3))
    scaled = net.affine(joined_up, act="relu")
    y = net.conv(scaled, 2)
    net.exit(y)
    found = slots(net.graph())
    assert joined_up not in found
    assert scaled not in found
    assert found[f"{y} (scratch)"] == (1, 8)


def test_a_sum_is_written_over_the_longer_lived_of_its_terms(sketch: Sketcher) -> None:
    net = sketch(3, 16, 8)
    x = net.conv("image", 4)
    y = net.conv(net.conv(x, 4, kernel=3), 4, kernel=3)
    total = net.add(Add(), y, x)
    net.exit(net.affine(total))
    orders, demand = ordered(net.graph(), Rules())
    row_buffers, home = row_buffers_of(orders[0].schedule, demand)
    assert home[total] == home[x] != home[y]
    events = len(orders[0].schedule.events)
    assert most(row_buffers[home[x]], events) == 3  # from row r of the sum to row r + 2 of x


def test_a_sum_is_not_written_over_what_is_read_again(sketch: Sketcher) -> None:
    net = sketch(3, 16, 8)
    x = net.conv("image", 4)
    total = net.add(Add(), "image", net.add(Slice(0, 0, 3), x))
    both = net.add(Add(), net.conv(total, 4), x)
    net.exit(both)
    orders, demand = ordered(net.graph(), Rules())
    _, home = row_buffers_of(orders[0].schedule, demand)
    assert home[total] == home["image"]
    assert home[both] == home[x]


def test_nothing_is_made_before_somebody_lacks_it(sketch: Sketcher) -> None:
    """The map is there when the second stage begins, but the shortcut waits for the main branch."""
    net = sketch(3, 16, 8)
    x = net.conv("image", 4)
    net.exit(x)
    main = net.conv(net.conv(x, 8, kernel=3, stride=2), 8, kernel=3)
    shortcut = net.conv(x, 8, stride=2)
    net.exit(net.add(Add(), main, shortcut))
    found = slots(net.graph())
    assert found[x] == (16, 32)
    assert found[shortcut] == (1, 32)
    assert slots(net.graph(), Rules(eager=frozenset({shortcut})))[shortcut] == (8, 32)


def test_rows_that_nobody_reads_are_not_made(sketch: Sketcher) -> None:
    net = sketch(3, 9, 8)
    x = net.conv("image", 4)
    unread = net.conv(x, 7)
    net.exit(net.add(Pool("max", (2, 2), (2, 2)), x))
    (order,), _ = ordered(net.graph(), Rules())
    assert len(order.schedule.born[x]) == len(order.schedule.born["image"]) == 8
    assert order.schedule.born[unread] == []


def test_what_an_order_needs_event_by_event(sketch: Sketcher) -> None:
    """Two rows arrive for each row of the pool, which the exit takes in at once.

    Rows of 3 x 4 and 3 x 2 bytes, sums of 3 x 4, the average of 3, and two logits of 2 bytes.
    """
    net = sketch(3, 4, 4)
    net.exit(net.add(Pool("max", (2, 2), (2, 2)), "image"))
    (order,), _ = ordered(net.graph(), Rules())
    assert order.live_bytes == [12, 24, 30, 18, 24, 36, 42, 18, 15, 7]
    (other,), _ = ordered(net.graph(), Rules(whole=frozenset({"image"})))
    assert other.live_bytes[:5] == [12, 24, 36, 48, 54]


def test_an_order_that_needs_too_much_is_given_up(sketch: Sketcher) -> None:
    net = sketch(3, 4, 4)
    net.exit(net.add(Pool("max", (2, 2), (2, 2)), "image"))
    graph = net.graph()
    segments = segments_of(graph)
    (stage,) = stages_of(graph, segments)
    orders = StageOrders(stage, Demand.of(graph, segments, 1, True))
    assert orders.order(Rules(), 41) is None
    assert orders.order(Rules(), 42) is not None
    assert orders.events_tried == 7 + 10


def test_the_search_finds_where_streaming_ends(sketch: Sketcher) -> None:
    """Many channels of few rows at the end: better one map after the other than rings for all."""
    net = sketch(3, 64, 64)
    x = net.conv("image", 8, kernel=3, stride=2)
    for _ in range(4):
        x = net.conv(x, 8, kernel=3)
    x = net.conv(net.conv(x, 16, kernel=3, stride=2), 64, kernel=3, stride=2)
    for _ in range(4):
        x = net.conv(x, 64, kernel=3)
    net.exit(x)
    graph = net.graph()
    segments = segments_of(graph)
    demand, stages = Demand.of(graph, segments, 1, True), stages_of(graph, segments)
    (found,) = order_stages(stages, demand)
    everything = frozenset(node.output for node in graph.nodes)
    (streaming,), _ = ordered(graph, Rules())
    (whole,), _ = ordered(graph, Rules(whole=everything))
    assert max(found.live_bytes) < min(max(streaming.live_bytes), max(whole.live_bytes))


@pytest.mark.parametrize("stride", [1, 2])
def test_an_image_that_takes_no_memory_is_written_over_by_nobody(
    sketch: Sketcher, stride: int
) -> None:
    net = sketch(3, 16, 8)
    scaled = net.affine("image", act="relu")
    net.exit(net.conv(scaled, 4, 1, stride))
    graph = net.graph()
    demand = Demand.of(graph, segments_of(graph), 1, image=False)
    assert demand.replaceable[scaled] == ()
    assert "image" not in demand.row_bytes
