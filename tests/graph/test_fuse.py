"""Operators that become one, and those that must not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from exeunt.graph import Graph, interpret
from exeunt.graph.fuse import fuse
from exeunt.graph.normed import NormedReX
from exeunt.graph.operators import Composite, Concat, Conv
from exeunt.ops.rex import ReX2d

Sketcher = Callable[..., Any]


def kinds(graph: Graph) -> list[str]:
    return [node.operator.kind for node in graph.nodes][:-2]  # without the exit


def assert_the_same(graph: Graph) -> None:
    x = torch.randn(2, *graph.shapes["image"])
    for mine, theirs in zip(interpret(fuse(graph), x), interpret(graph, x), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


def test_scaling_goes_into_the_convolution_that_alone_reads_it(sketch: Sketcher) -> None:
    """Padding is zero after the scaling, not before."""
    net = sketch(3, 8, 8)
    joined = net.add(Concat(), "image", net.conv("image", 4))
    scaled = net.affine(joined, act="relu")
    net.exit(net.conv(scaled, 5, kernel=3))
    graph = net.graph()
    fused = fuse(graph)
    assert kinds(fused) == ["Conv", "Concat", "PreactivatedConv"]
    assert scaled not in fused.shapes
    assert sum(fused.macs.values()) == sum(graph.macs.values())
    assert_the_same(graph)


def test_scaling_that_is_read_twice_or_handed_on_or_by_a_grouped_convolution_stays(
    sketch: Sketcher,
) -> None:
    net = sketch(4, 8, 8)
    twice = net.affine("image")
    net.conv(twice, 5)
    net.conv(twice, 5)
    grouped = net.conv(net.affine("image"), 4, groups=2)
    handed_on = net.affine("image")
    net.exit(grouped)
    net.exit(net.conv(handed_on, 3))
    assert "PreactivatedConv" not in kinds(fuse(net.graph()))


def test_an_inverted_residual_is_one_unless_its_filter_is_dilated(sketch: Sketcher) -> None:
    for dilation, found in ((1, True), (2, False)):
        net = sketch(4, 8, 8)
        wide = net.conv("image", 12)
        filtering = Conv((3, 3), (1, 1), (dilation, dilation), (dilation, dilation), groups=12)
        filtered = net.add(filtering, wide, weight=torch.randn(12, 1, 3, 3))
        net.exit(net.conv(filtered, 4))
        graph = net.graph()
        assert ("InvertedResidual" in kinds(fuse(graph))) == found
        assert_the_same(graph)


def test_scaling_behind_rex_goes_into_it_unless_others_read_rex(sketch: Sketcher) -> None:
    for also_read, act, found in ((False, None, 1), (True, None, 0), (False, "relu", 0)):
        net = sketch(3, 8, 8)
        rex = net.add(Composite("ReX2d", ReX2d(3, 4, 2, 3, 2).eval()), "image")
        scaled = net.affine(rex, act=act)
        other = net.conv(rex, 3) if also_read else "image"
        net.exit(net.conv(scaled, 5))
        net.exit(net.conv(other, 5))
        graph = net.graph()
        fused = fuse(graph)
        taken_in = [n for n in fused.nodes if isinstance(n.operator, NormedReX)]
        assert [n.output for n in taken_in] == [scaled][:found]
        assert (rex in fused.shapes) == (not found)
        assert sum(fused.macs.values()) == sum(graph.macs.values())
        with torch.no_grad():
            assert_the_same(graph)
