"""Bands of columns: spans and prices by hand, and the same numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from exeunt.graph import Graph, interpret, plan_within, run_stream
from exeunt.graph.bands import chains, with_bands
from exeunt.graph.fuse import InvertedResidual, fuse
from exeunt.graph.operators import Add, Conv
from exeunt.graph.streamed import Draft, StreamedPlan
from exeunt.graph.ways import Way, Ways


@pytest.fixture
def chain_graph(sketch: type[Any]) -> Graph:
    """A convolution of stride 2, one that adds its input, and one of stride 1; 17 columns to 9."""
    torch.manual_seed(0)
    net = sketch(3, 15, 17)
    first = net.conv("image", 4, 3, 2, act="relu")
    wide = net.conv(net.conv(first, 12, act="relu6"), 12, 3, groups=12, act="relu6")
    added = net.add(Add(), first, net.conv(wide, 4))
    net.exit(net.conv(added, 5, 3))
    return net.graph()  # type: ignore[no-any-return]


def assert_the_same(plan: StreamedPlan, graph: Graph) -> None:
    image = torch.randn(graph.shapes["image"])
    for mine, theirs in zip(run_stream(plan, image), interpret(graph, image[None]), strict=True):
        torch.testing.assert_close(mine, theirs[0], rtol=1e-5, atol=1e-5)


def test_spans_and_prices_by_hand(chain_graph: Graph) -> None:
    """Two bands of the last map, columns 0 to 4 and 4 to 9: a filter of 3 reads one column more on
    each side, so that of the block 0 to 5 and 3 to 9 are made, of the first map 0 to 6 and 2 to 9,
    and of the image, by stride 2, 0 to 12 and 3 to 17.
    """
    fused = fuse(chain_graph)
    (run,) = chains(fused)
    banded = with_bands(fused, run, 2)
    made = [node.output for node in run]
    widths = [[banded.shapes[f"{name}~{band}"][2] for band in (0, 1)] for name in made]
    assert widths == [[6, 7], [5, 6], [4, 5]]
    views = [node.operator.settings for node in banded.nodes if node.operator.kind == "Columns"]
    assert views == [{"start": 0, "stop": 12}, {"start": 3, "stop": 17}]
    inner = [node.operator for node in banded.nodes if node.output == f"{made[0]}~1"]
    assert isinstance(inner[0], Conv)
    assert (inner[0].padding, inner[0].trail) == ((1, 0), (1, 1))
    block = next(node.operator for node in banded.nodes if node.output == f"{made[1]}~1")
    assert isinstance(block, InvertedResidual)
    assert block.beside == 1
    # columns more, of 8 rows: 4 of the first map, of which each is also expanded, 2 of the block
    more = 8 * (4 * 4 * 27 + 4 * 4 * 12 + 2 * (12 * 9 + 12 * 4))
    assert sum(banded.macs.values()) - sum(fused.macs.values()) == more
    plan = Draft(banded, 4, image=True).placed(4)
    assert plan.recomputed_macs == more
    assert_the_same(plan, chain_graph)


@pytest.mark.parametrize("bands", [2, 3, 9])
def test_the_same_where_rows_are_fleeting(chain_graph: Graph, bands: int) -> None:
    """Once more a band of the image takes no row of its own: it is read where it lies."""
    search = Ways(fuse(chain_graph), 4, image=True)
    (run,) = chains(search.graph)
    way = Way(search.all, run=tuple(node.output for node in run), bands=bands)
    plan = search.draft(way).placed(4)
    assert len(plan.schedule.again) == 2 * bands
    assert not any("image~" in buffer.name for buffer in plan.row_buffers)
    assert_the_same(plan, chain_graph)
    once = sum(chain_graph.macs.values())
    assert plan.recomputed_macs == plan.macs - once > 0


def test_a_budget_that_nothing_else_keeps(chain_graph: Graph) -> None:
    """Where the image is free, bands need less than rows that are made again."""
    search = Ways(fuse(chain_graph), 1, image=False)
    least = search.smallest().bound_bytes
    rows = min(draft.bound_bytes for way, draft in search.drafts.items() if not way.run)
    assert least < rows
    plan = plan_within(chain_graph, 1, rows - 1, image=False)
    assert plan.arena_bytes < rows
    assert any(node.operator.kind == "Beside" for node in plan.graph.nodes)
