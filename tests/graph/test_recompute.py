"""Rows that are expanded again: what that costs and saves by hand, and the same numbers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from exeunt.backbone import attach_exits
from exeunt.graph import Graph, build_graph, dial, interpret, plan_stream, plan_within, run_stream
from exeunt.graph.fleeting import row_macs
from exeunt.graph.fuse import InvertedResidual, fuse
from exeunt.graph.streamed import Draft
from exeunt.graph.ways import with_recomputed
from exeunt.graph.workspace import kept_bytes, recompute_numbers, scratch_bytes
from exeunt.ops.conv import ConvNormAct
from exeunt.ops.conv import InvertedResidual as Block


@pytest.fixture(scope="module")
def graph() -> Graph:
    """Blocks of 48, 48, 72, 72 and 336 hidden channels, from 24 x 20 pixels to 6 x 5."""
    torch.manual_seed(0)
    blocks = [Block(8, 8, 1, 6), Block(8, 12, 2, 6), Block(12, 12, 1, 6), Block(12, 16, 2, 6)]
    backbone = nn.Sequential(ConvNormAct(3, 8, 3, 2), *blocks, Block(16, 16, 1, 21))
    net = attach_exits(backbone, [2], 3, image_shape=(3, 48, 40)).eval()
    return build_graph(net, (48, 40))


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exeunt.graph.recompute.DIAL_EFFORT", 500_000)


def blocks_of(graph: Graph) -> list[str]:
    """Outputs of the inverted residuals that expand."""
    return [
        node.output
        for node in graph.nodes
        if isinstance(node.operator, InvertedResidual) and node.operator.expand is not None
    ]


def test_a_block_by_hand(graph: Graph) -> None:
    """The second, 8 channels to 48 of 20 x 24 pixels and filtered with stride 2: rows 1, 3, ... but
    the last lie under two windows of three, so that 35 are expanded in place of 24.
    """
    fused = fuse(graph)
    name = blocks_of(fused)[1]
    (plain,) = [node for node in fused.nodes if node.output == name]
    turned_graph = with_recomputed(fused, [name])
    (turned,) = [node for node in turned_graph.nodes if node.output == name]
    assert fused.shapes[plain.inputs[0]] == (8, 24, 20)
    assert turned_graph.macs[name] - fused.macs[name] == (35 - 24) * 20 * 8 * 48
    assert sum(turned_graph.macs.values()) - sum(graph.macs.values()) == 11 * 20 * 8 * 48
    assert kept_bytes(turned_graph, turned, 1) == 0
    segments = Draft(turned_graph, 1, True).segments
    assert scratch_bytes(turned_graph, turned, 4, segments) == 4 * (9 + 1) * 48


def test_some_channels_at_a_time_where_that_takes_less(graph: Graph) -> None:
    """A window of 9 pixels of 16 channels, and a row of 2 pixels; or all 336 channels of ten."""
    fused = fuse(graph)
    last = next(node for node in reversed([*fused.nodes]) if node.output in blocks_of(fused))
    assert isinstance(last.operator, InvertedResidual)
    assert last.operator.depthwise.groups == 336
    assert recompute_numbers(last.operator, 2, 2) == (16, 3 * 2 * 16 + 2 * 336)
    assert recompute_numbers(last.operator, 24, 24) == (336, 10 * 336)


@torch.no_grad()
def test_the_same_numbers_all_along_the_dial(graph: Graph) -> None:
    image = torch.randn(3, 48, 40)
    wanted = interpret(graph, image[None])
    plans = dial(graph, 4)
    sizes, macs = [plan.arena_bytes for plan in plans], [plan.macs for plan in plans]
    assert len(plans) > 2
    assert sizes == sorted(set(sizes), reverse=True)
    assert macs == sorted(set(macs))
    assert plans[0].bound_bytes == plan_stream(graph, 4).bound_bytes
    assert (macs[0], plans[0].recomputed_macs) == (sum(graph.macs.values()), 0)
    assert all(plan.recomputed_macs == plan.macs - macs[0] for plan in plans)
    for plan in (plans[1], plans[-1]):
        for mine, theirs in zip(run_stream(plan, image), wanted, strict=True):
            torch.testing.assert_close(mine, theirs[0], rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_fleeting_rows_of_blocks() -> None:
    """Blocks that add nothing: every one expands again, and every map between two of them is made
    for each window; what that takes is counted from the events.
    """
    torch.manual_seed(0)
    blocks = [Block(8, 12, 1, 3), Block(12, 10, 1, 2), Block(10, 16, 2, 3)]
    backbone = nn.Sequential(ConvNormAct(3, 8, 3, 2), *blocks)
    net = attach_exits(backbone, [-1], 3, image_shape=(3, 24, 20)).eval()
    graph, image = build_graph(net, (24, 20)), torch.randn(3, 24, 20)
    fused = fuse(graph)
    draft = Draft(with_recomputed(fused, blocks_of(fused)), 4, True)
    names = draft.may_be_fleeting()
    assert len(names) > 1
    plan = draft.with_fleeting(names).placed(4)
    for mine, theirs in zip(run_stream(plan, image), interpret(graph, image[None]), strict=True):
        torch.testing.assert_close(mine, theirs[0], rtol=1e-5, atol=1e-6)
    made = [event for event in plan.schedule.events if event.node and event.node.output in names]
    again = sum(row_macs(plan.graph, event.node, event.row) for event in made)  # type: ignore[arg-type]
    once = sum(draft.graph.macs[name] for name in names)
    assert again > once
    assert plan.macs == draft.macs + again - once


def test_a_budget_is_kept_at_the_least_price_found(graph: Graph) -> None:
    plain = plan_stream(graph, 1)
    assert plan_within(graph, 1, plain.arena_bytes).macs == plain.macs
    less = plan_within(graph, 1, plain.bound_bytes * 9 // 10)
    assert less.arena_bytes <= plain.bound_bytes * 9 // 10
    everything = with_recomputed(fuse(graph), blocks_of(fuse(graph)))
    assert plain.macs < less.macs < sum(everything.macs.values())


def test_what_cannot_be_kept_gives_the_smallest_found(graph: Graph) -> None:
    smallest = plan_within(graph, 1, 1)
    assert smallest.arena_bytes == min(plan.arena_bytes for plan in dial(graph, 1))
