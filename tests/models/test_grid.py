from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import pytest

from exeunt.errors import ExeuntError
from exeunt.models.grid import Grid, Place

WAYS = list(itertools.product(("max", "min"), (True, False)))


def published_scales(layer: int, layers: int, scales: int, prune: str) -> tuple[int, int]:
    """How many scales a layer (1 to N) reads and writes, as the published code puts it."""
    if prune == "min":
        return min(scales, layers - layer + 2), min(scales, layers - layer + 1)
    interval = math.ceil(layers / scales)
    return (
        scales - math.floor(max(0, layer - 2) / interval),
        scales - math.floor((layer - 1) / interval),
    )


def published_sources(node: Place, layers: int, scales: int, prune: str) -> set[Place]:
    layer, scale = node
    before, after = published_scales(layer, layers, scales, prune)
    finest = scales - after
    assert scale >= finest
    own, finer = (layer - 1, scale), (layer - 1, scale - 1)
    return {own} if scale == finest and before == after else {own, finer}


def some_exits(layers: int) -> list[list[int]]:
    """After every layer, after a few, and after the last."""
    return [list(range(1, layers + 1)), sorted({(layers + 2) // 3, layers}), [layers]]


def plans(prune: str, lazy: bool) -> Iterator[tuple[Grid, list[int], list[list[Place]]]]:
    """Grids of all small sizes, some exits, and what the stages make."""
    for layers, scales in itertools.product(range(1, 10), range(1, 5)):
        grid = Grid.pruned(layers, scales, prune)
        for ends in some_exits(layers):
            yield grid, ends, grid.stages(ends, lazy)


@pytest.mark.parametrize("prune", ["max", "min"])
def test_maps_are_made_from_what_published_code_reads(prune: str) -> None:
    for layers, scales in itertools.product(range(1, 12), range(1, 6)):
        grid = Grid.pruned(layers, scales, prune)
        for layer in range(1, layers + 1):
            before, after = published_scales(layer, layers, scales, prune)
            assert (grid.surviving[layer - 1], grid.surviving[layer]) == (before, after)
            for scale in range(scales - after, scales):
                node = (layer, scale)
                assert set(grid.reads(node)) == published_sources(node, layers, scales, prune)


def test_transitions() -> None:
    """CIFAR's 22 layers in intervals of 8, ImageNet's 20 of 5; thirds where little is pruned."""
    assert Grid.pruned(22, 3, "max").transitions == {9, 17}
    assert Grid.pruned(20, 4, "max").transitions == {6, 11, 16}
    assert Grid.pruned(22, 3, "min").transitions == {7, 14}
    assert Grid.pruned(2, 3, "min").transitions == {1}
    assert not Grid.pruned(9, 1, "max").transitions


@pytest.mark.parametrize(("prune", "lazy"), WAYS)
def test_the_latest_map_of_each_scale_is_the_one_that_is_read(prune: str, lazy: bool) -> None:
    for grid, ends, stages in plans(prune, lazy):
        latest: dict[int, Place] = {-1: (0, -1)}
        for end, made in zip(ends, stages, strict=True):
            for node in made:
                for source in grid.reads(node):
                    assert latest[source[1]] == source
                latest[node[1]] = node
            assert latest[grid.scales - 1] == (end, grid.scales - 1), "what the exit reads"


@pytest.mark.parametrize(("prune", "lazy"), WAYS)
def test_every_map_is_made_once_and_for_an_exit(prune: str, lazy: bool) -> None:
    def contributing(grid: Grid, end: int) -> set[Place]:
        """Walks back from an exit, layer by layer."""
        layers, scales = len(grid.surviving) - 1, grid.scales
        found = frontier = {(end, scales - 1)}
        for _ in range(end):
            frontier = {
                source
                for node in frontier
                for source in published_sources(node, layers, scales, prune)
            }
            found = found | frontier
        return found | {(0, scale) for scale in range(scales)}  # a chain that ends in the coarsest

    for grid, ends, stages in plans(prune, lazy):
        everything = contributing(grid, ends[-1])
        made: set[Place] = set()
        for end, nodes in zip(ends, stages, strict=True):
            assert len(set(nodes)) == len(nodes)
            assert not made & set(nodes)
            made |= set(nodes)
            block = {node for node in everything if node[0] <= end}
            assert made == (contributing(grid, end) if lazy else block)
        assert made == everything


def test_an_unknown_way_to_prune() -> None:
    with pytest.raises(ExeuntError, match="prune='some'; one of 'max', 'min'"):
        Grid.pruned(4, 3, "some")
