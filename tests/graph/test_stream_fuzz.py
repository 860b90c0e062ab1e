"""Small graphs by chance: the same numbers row by row, and memory counted again from the events."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from exeunt.backbone import attach_exits
from exeunt.graph import Graph, StreamedPlan, build_graph, interpret, plan_stream, run_stream
from exeunt.graph.fleeting import row_macs
from exeunt.graph.fuse import fuse
from exeunt.graph.rows import rows_needed
from exeunt.graph.streamed import Draft
from exeunt.graph.workspace import kept_bytes, scratch_bytes

DrawGraph = Callable[[int], Graph]
PlanMoved = Callable[[int, Graph, int], StreamedPlan]


def lives_of(plan: StreamedPlan) -> dict[tuple[str, int], list[list[int]]]:
    """First and last event of each row, each time that it is made, by looking up what each event
    reads.
    """
    graph, lives = plan.graph, dict[tuple[str, int], list[list[int]]]()
    for at, event in enumerate(plan.schedule.events):
        if event.node is None:
            lives[graph.image, event.row] = [[at, at]]
            continue
        node = event.node
        for parts in plan.reads(node):
            for part in parts:
                shapes = graph.shapes[part.tensor], graph.shapes[node.output]
                needed = rows_needed(node.operator, *shapes, event.row)
                if event.takes:
                    needed = range(event.row, event.row + 1)
                elif node.operator.accumulates:
                    needed = range(0)
                for row in needed:
                    lives[part.tensor, row][-1][1] = at
        if not event.takes:
            again = node.output in plan.schedule.again
            assert again or (node.output, event.row) not in lives
            lives.setdefault((node.output, event.row), []).append([at, at])
    for stage, end in zip(graph.stages, plan.schedule.ends, strict=True):
        lives[stage.logits, 0][-1][1] = max(lives[stage.logits, 0][-1][1], end)
    return lives


def assert_nothing_overlaps(plan: StreamedPlan, element_bytes: int) -> None:
    """Whatever is needed at one time lies apart, but for what is written over what it is made of;
    and the bound is the largest sum of it.
    """
    found = []  # offset, end, first and last event
    for (name, row), spans in lives_of(plan).items():
        strip, offset = plan.row_buffers[plan.home[name]], plan.offsets_of(name)[row]
        found += [(offset, offset + strip.row_bytes, first, last) for first, last in spans]
    offset_of = {s.name: at for s, at in zip(plan.row_buffers, plan.offsets_bytes, strict=True)}
    for node in plan.graph.nodes:
        acts = [k for k, event in enumerate(plan.schedule.events) if event.node is node]
        kept = kept_bytes(plan.graph, node, element_bytes)
        if acts and kept:
            (offset,) = offset_of[f"{node.output} (kept)"]
            found.append((offset, offset + kept, acts[0], acts[-1]))
        scratch = scratch_bytes(plan.graph, node, element_bytes, plan.segments)
        if acts and scratch:
            offsets = offset_of[f"{node.output} (scratch)"]
            each = offsets if len(offsets) > 1 else offsets * len(acts)
            found += [(at, at + scratch, act, act) for at, act in zip(each, acts, strict=True)]
    start, end, first, last = np.array(found).T
    assert end.max() == plan.arena_bytes
    overlap = (start[:, None] < end) & (start < end[:, None])
    overlap &= (first[:, None] <= last) & (first <= last[:, None])
    pairs = [(i, j) for i, j in np.argwhere(overlap) if i < j]
    needed = np.zeros(len(plan.schedule.events), dtype=int)
    for low, high, when, until in found:
        needed[when : until + 1] += high - low
    for i, j in pairs:
        assert start[i] == start[j]
        assert end[i] == end[j]
        i, j = sorted((i, j), key=lambda k: first[k])
        assert last[i] == first[j]
        needed[first[j]] -= end[j] - start[j]
    assert needed.max() == plan.bound_bytes <= plan.least_bytes <= plan.arena_bytes


def assert_it_says_the_same(plan: StreamedPlan, graph: Graph) -> None:
    """Row by row as at once, by `plan`, for float32."""
    image = torch.randn(graph.shapes["image"])
    wanted = interpret(graph, image[None])
    for mine, theirs in zip(run_stream(plan, image), wanted, strict=True):
        scale = theirs.abs().max().item()
        torch.testing.assert_close(mine, theirs[0], rtol=0, atol=1e-5 * max(scale, 1))
    assert_nothing_overlaps(plan, 4)


@pytest.mark.parametrize("seed", range(20))
def test_the_same_row_by_row(draw_graph: DrawGraph, seed: int) -> None:
    graph = draw_graph(seed)
    assert_it_says_the_same(plan_stream(graph, 4), graph)
    assert_nothing_overlaps(plan_stream(graph, 1), 1)


@pytest.mark.parametrize("seed", range(30, 60))
def test_the_same_where_stages_end_elsewhere(
    draw_graph: DrawGraph, plan_moved: PlanMoved, seed: int
) -> None:
    graph = draw_graph(seed)
    assert_it_says_the_same(plan_moved(seed, graph, 4), graph)


def macs_of(plan: StreamedPlan) -> int:
    """Multiply-adds of convolutions that are made again, counted from the events."""
    total = 0
    for event in plan.schedule.events:
        if event.node is not None and event.node.output in plan.schedule.again:
            total += row_macs(plan.graph, event.node, event.row)
    return total


def test_fleeting_rows_by_hand() -> None:
    """Two convolutions of 3x3 on 6 rows: of the first map each row is read three times but those at
    the ends, which are read twice, so that 16 are made in place of 6, and none lives on.
    """
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 4, 3, 1, 1), nn.Conv2d(4, 5, 3, 1, 1))
    net = attach_exits(layers, [-1], 2, image_shape=(3, 6, 5)).eval()
    graph = build_graph(net, (6, 5))
    draft = Draft(fuse(graph), 4, image=True)
    (name,) = draft.may_be_fleeting()
    plan = draft.with_fleeting([name]).placed(4)
    assert [len(spans) for spans in plan.schedule.again[name]] == [2, 3, 3, 3, 3, 2]
    row = 5 * 4 * 3 * 9
    assert plan.recomputed_macs == (16 - 6) * row
    assert plan.macs == graph.exit_macs[-1] + 10 * row
    assert macs_of(plan) == 16 * row
    assert_it_says_the_same(plan, graph)
