"""Small graphs by chance: the same numbers row by row, and memory counted again from the events."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from exeunt.graph import Graph, StreamedPlan, interpret, plan_stream, run_stream
from exeunt.graph.operators import (
    Activation,
    Add,
    Concat,
    Conv,
    GridPool,
    Mix,
    Pad,
    Pool,
    Resize,
    Slice,
)
from exeunt.graph.rows import accumulates, rows_needed
from exeunt.graph.workspace import kept_bytes, scratch_bytes

Sketcher = Callable[..., Any]

KINDS = ["conv", "concat", "slice", "add"] * 2
KINDS += ["conv", "depthwise", "residual", "affine", "act", "mix", "rows", "pool", "resize", "pad"]
KINDS += ["grid"]


def grow(net: Any, maps: list[str], chance: random.Random) -> str:
    """Appends a node of some kind that reads what there is."""
    source = chance.choice(maps[-4:])
    channels, height, width = net.shapes[source]
    alike = [name for name in maps if net.shapes[name] == net.shapes[source]]
    beside = [name for name in maps if net.shapes[name][1:] == (height, width)]
    kind = chance.choice(KINDS)
    if kind == "conv":
        return net.conv(source, chance.randint(1, 5), chance.choice((1, 3)), chance.choice((1, 2)))
    if kind == "depthwise":
        return net.conv(source, channels, 3, chance.choice((1, 2)), groups=channels)
    if kind == "affine":
        scaled = net.affine(source, chance.choice((None, "relu")))
        return net.conv(scaled, 3, chance.choice((1, 3))) if chance.random() < 0.6 else scaled
    if kind == "act":
        return net.add(Activation("relu"), source)
    if kind == "add":
        return net.add(Add(act=chance.choice((None, "relu"))), source, chance.choice(alike))
    if kind == "mix":
        return net.add(Mix(), source, chance.choice(alike), share=torch.tensor(0.3))
    if kind == "concat":
        return net.add(Concat(), source, *chance.choices(beside, k=chance.randint(1, 3)))
    if kind == "slice" and channels > 1:
        first = chance.randrange(channels - 1)
        return net.add(Slice(0, first, chance.randint(first + 1, channels)), source)
    if kind == "rows" and height > 3:
        return net.add(Slice(1, 1, height, chance.choice((1, 2))), source)
    if kind == "pool":
        of, kernel = chance.choice(("max", "average")), chance.choice((2, 3))
        if min(height, width) >= kernel:
            return net.add(Pool(of, (kernel, kernel), (2, 2), (kernel // 2,) * 2), source)
    if kind == "resize":
        size = chance.randint(2, 12), chance.randint(2, 12)
        return net.add(Resize(size, chance.random() < 0.5), source)
    if kind == "pad":
        return net.add(Pad((0, 1, 0), (1, 0, 2)), source)
    if kind == "grid":
        return net.add(GridPool(chance.choice(("max", "average")), (3, 2)), source)
    if kind == "residual":
        wide = net.conv(source, 6)
        filtering = Conv((3, 3), (1, 1), (1, 1), groups=6)
        filtered = net.add(filtering, wide, weight=torch.randn(6, 1, 3, 3))
        return net.add(Add(), source, net.conv(filtered, channels))
    return net.conv(source, 2)


def draw(sketch: Sketcher, seed: int) -> Graph:
    """A graph of one to three stages."""
    chance = random.Random(seed)
    net = sketch(chance.randint(1, 3), chance.randint(5, 13), chance.randint(4, 9))
    maps = ["image"]
    for _ in range(chance.randint(1, 3)):
        for _ in range(chance.randint(3, 9)):
            maps.append(grow(net, maps, chance))
        net.exit(maps[-1])
    return net.graph()


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
                elif accumulates(node.operator):
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
        strip, offset = plan.strips[plan.home[name]], plan.offsets_bytes[plan.home[name]]
        offset += row % len(strip.spans) * strip.row_bytes
        found.append((offset, offset + strip.row_bytes, first, last))
    offset_of = dict(zip((s.name for s in plan.strips), plan.offsets_bytes, strict=True))
    for node in plan.graph.nodes:
        acts = [k for k, event in enumerate(plan.schedule.events) if event.node is node]
        kept = kept_bytes(plan.graph, node, element_bytes)
        if acts and kept:
            offset = offset_of[f"{node.output} (kept)"]
            found.append((offset, offset + kept, acts[0], acts[-1]))
        scratch = scratch_bytes(plan.graph, node, element_bytes, plan.segments)
        if acts and scratch:
            offset = offset_of[f"{node.output} (scratch)"]
            found += [(offset, offset + scratch, act, act) for act in acts]
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
    assert needed.max() == plan.bound_bytes


@pytest.mark.parametrize("seed", range(30))
def test_the_same_row_by_row(sketch: Sketcher, seed: int) -> None:
    graph = draw(sketch, seed)
    plan = plan_stream(graph, 4)
    image = torch.randn(graph.shapes["image"])
    wanted = interpret(graph, image[None])
    for mine, theirs in zip(run_stream(plan, image), wanted, strict=True):
        scale = theirs.abs().max().item()
        torch.testing.assert_close(mine, theirs[0], rtol=0, atol=1e-5 * max(scale, 1))
    assert_nothing_overlaps(plan, 4)
    assert_nothing_overlaps(plan_stream(graph, 1), 1)
