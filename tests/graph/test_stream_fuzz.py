"""Small graphs by chance: the same numbers row by row, and memory counted again from the events."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from exeunt.graph import Graph, StreamedPlan, interpret, plan_stream, run_stream
from exeunt.graph.rows import rows_needed
from exeunt.graph.workspace import kept_bytes, scratch_bytes

DrawGraph = Callable[[int], Graph]


def lives_of(plan: StreamedPlan) -> dict[tuple[str, int], list[int]]:
    """First and last event of each row, by looking up what each event reads."""
    graph, lives = plan.graph, dict[tuple[str, int], list[int]]()
    for at, event in enumerate(plan.schedule.events):
        if event.node is None:
            lives[graph.image, event.row] = [at, at]
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
                    lives[part.tensor, row][1] = at
        if not event.takes:
            assert (node.output, event.row) not in lives
            lives[node.output, event.row] = [at, at]
    for stage, end in zip(graph.stages, plan.schedule.ends, strict=True):
        lives[stage.logits, 0][1] = max(lives[stage.logits, 0][1], end)
    return lives


def assert_nothing_overlaps(plan: StreamedPlan, element_bytes: int) -> None:
    """Whatever is needed at one time lies apart, but for what is written over what it is made of;
    and the bound is the largest sum of it.
    """
    found = []  # offset, end, first and last event
    for (name, row), (first, last) in lives_of(plan).items():
        strip, offset = plan.row_buffers[plan.home[name]], plan.offsets_of(name)[row]
        found.append((offset, offset + strip.row_bytes, first, last))
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


@pytest.mark.parametrize("seed", range(20))
def test_the_same_row_by_row(draw_graph: DrawGraph, seed: int) -> None:
    graph = draw_graph(seed)
    plan = plan_stream(graph, 4)
    image = torch.randn(graph.shapes["image"])
    wanted = interpret(graph, image[None])
    for mine, theirs in zip(run_stream(plan, image), wanted, strict=True):
        scale = theirs.abs().max().item()
        torch.testing.assert_close(mine, theirs[0], rtol=0, atol=1e-5 * max(scale, 1))
    assert_nothing_overlaps(plan, 4)
    assert_nothing_overlaps(plan_stream(graph, 1), 1)
