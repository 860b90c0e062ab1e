"""Stages that end elsewhere: what that costs and saves by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from exeunt.backbone import attach_exits
from exeunt.graph import Graph, build_graph, dial, interpret, plan_stream, plan_within, run_stream
from exeunt.graph.boundary import again, handed_on, later, movable, original, remade, sources
from exeunt.graph.forms import forms
from exeunt.graph.fuse import fuse
from exeunt.graph.streamed import Draft

STEM, WIDE, DOWN, LAST = 3 * 9 * 8, 8 * 9 * 8, 8 * 9 * 16, 16 * 9 * 16  # for each pixel
HEAD_1, HEAD_2 = 8 * 2, 16 * 2


@pytest.fixture(scope="module")
def graph() -> Graph:
    """Convolutions to 8x32x32, twice, an exit, then to 16x16x16, twice."""
    torch.manual_seed(0)
    backbone = nn.Sequential(
        nn.Conv2d(3, 8, 3, 1, 1),
        nn.Conv2d(8, 8, 3, 1, 1),
        nn.Conv2d(8, 16, 3, 2, 1),
        nn.Conv2d(16, 16, 3, 1, 1),
    )
    net = attach_exits(backbone, [1], 2, image_shape=(3, 32, 32)).eval()
    return fuse(build_graph(net, 32))


def test_later_by_hand(graph: Graph) -> None:
    """The third convolution before the first exit answers: a half is handed on."""
    (held,) = handed_on(graph, 0)
    assert graph.shapes[held] == (8, 32, 32)
    assert len(movable(graph, 0)) >= 2
    moved = later(graph, 0, 1)
    (less,) = handed_on(moved, 0)
    assert moved.stages[0].state == (less,)
    assert moved.shapes[less] == (16, 16, 16)
    first, all_of_it = graph.exit_macs
    assert first == 1024 * (STEM + WIDE) + HEAD_1
    assert moved.exit_macs == (first + 256 * DOWN, all_of_it)
    assert all_of_it == first + 256 * (DOWN + LAST) + HEAD_2


def test_again_by_hand(graph: Graph) -> None:
    """The image is held, a third of the map, and the second stage makes that again."""
    first, all_of_it = graph.exit_macs
    starts = [*sources(graph, 0)]
    assert starts == [graph.image]  # the map before is as large as what it would stand for
    moved = again(graph, 0, graph.image)
    assert handed_on(moved, 0) == (graph.image,)
    assert moved.exit_macs == (first, all_of_it + 1024 * (STEM + WIDE))
    assert sum(moved.macs[node.output] for node in remade(moved)) == 1024 * (STEM + WIDE)
    (second, third) = remade(moved)
    before = {node.output: node for node in graph.nodes}
    for node in (second, third):
        assert original(node) == before[original(node).output]
    assert third.inputs == (second.output,)


@torch.no_grad()
def test_both_say_the_same(graph: Graph) -> None:
    image = torch.randn(3, 32, 32)
    wanted = interpret(graph, image[None])
    for moved in (later(graph, 0, 1), again(graph, 0, graph.image)):
        for mine, theirs in zip(
            run_stream(Draft(moved, 4, True).placed(4), image), wanted, strict=True
        ):
            torch.testing.assert_close(mine, theirs[0], rtol=1e-5, atol=1e-5)


def test_forms_cost_more_and_need_less(graph: Graph) -> None:
    found = [Draft(form, 1, True) for form in forms(graph, 1, True)]
    assert found[0].graph == graph
    sizes, prices = [one.bound_bytes for one in found], [one.price_macs for one in found]
    assert len(found) >= 2
    assert sizes == sorted(set(sizes), reverse=True)
    assert prices == sorted(set(prices))
    assert sizes[0] >= 8 * 32 * 32  # the map lies whole
    assert sizes[-1] < 8 * 32 * 32


def test_a_budget_takes_the_cheapest_form(graph: Graph) -> None:
    """Here a convolution more before the exit costs less than the first two again."""
    plain = plan_stream(graph, 1)
    assert plan_within(graph, 1, plain.arena_bytes).graph.exit_macs == graph.exit_macs
    (cheapest, *_) = (plan for plan in dial(graph, 1) if plan.arena_bytes < plain.arena_bytes)
    within = plan_within(graph, 1, plain.arena_bytes - 1)
    assert within.price_macs == cheapest.price_macs
    assert within.graph.exit_macs == later(graph, 0, 1).exit_macs
    assert within.recomputed_macs == 0
