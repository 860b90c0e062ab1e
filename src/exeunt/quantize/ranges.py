"""How far the numbers of each tensor reach, on images that are like those to come."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from exeunt.data import Sample, Transform, eval_loader, take
from exeunt.errors import ExeuntError, one_of
from exeunt.graph.graph import Graph

METHODS = ("mse", "minmax", "percentile")
PERCENTILE = 99.99
RANGE_IMAGES = 256
"""How many images are enough, and quickly gone through."""

_BINS = {"mse": 2048, "percentile": 65536}
_STEPS = 255
_CLIPS = 80


def range_images(
    samples: Sequence[Sample], transform: Transform, seed: int, batch_size: int
) -> list[Tensor]:
    """Batches (N, C, H, W) of those of the samples, at most `RANGE_IMAGES`, that ranges are found
    on; images that cannot be read are left out.
    """
    some = take(samples, min(RANGE_IMAGES, len(samples)), seed)
    loader: Iterable[Any] = eval_loader(some, transform, batch_size=batch_size)
    return [batch.images for batch in loader if len(batch)]


@dataclass(frozen=True)
class Range:
    """What int8 should cover: numbers outside become the nearest inside."""

    low: float
    high: float


@torch.no_grad()
def observe_ranges(
    graph: Graph,
    batches: Iterable[Tensor],
    method: str = "mse",
    percentile: float = PERCENTILE,
) -> dict[str, Range]:
    """Runs a graph in float32 over images, and finds the range of each tensor by name.

    Args:
        graph: of a whole net.
        batches: images (N, C, H, W), gone through twice: a list, or what begins anew.
        method: `minmax` covers all that was seen; `mse` clips where the mean squared error of all
            that was seen, rounded and clipped, is least; `percentile` covers the middle of all that
            was seen and leaves out equal shares of the least and the largest, to within a 65536th
            of what was seen.
        percentile: how much is covered then, in per cent.

    Raises:
        ExeuntError: for another method or percentile, no images, or numbers that are not finite.
    """
    if method not in METHODS:
        raise ExeuntError(f"unknown method {method!r} of calibration; {one_of(method, METHODS)}")
    if not 0 < percentile <= 100:
        raise ExeuntError(f"percentile={percentile!r}; give per cent, above 0, at most 100")
    seen: dict[str, Range] = {}
    for name, values in _tensors(graph, batches):
        low, high = (float(v) for v in values.aminmax())
        if not math.isfinite(high - low):
            raise ExeuntError(
                f"{name}: its numbers reach from {low:g} to {high:g} on these images; int8 needs "
                "finite weights and images, and ranges within float32"
            )
        known = seen.get(name, Range(low, high))
        seen[name] = Range(min(low, known.low), max(high, known.high))
    if not seen:
        raise ExeuntError("no images to find ranges with; give a few hundred")
    if method == "minmax":
        return seen
    counts: dict[str, Tensor] = {}
    for name, values in _tensors(graph, batches):
        reach = seen[name]
        found = torch.histc(values, _BINS[method], reach.low, reach.high)
        counts[name] = counts.get(name, 0) + found.cpu().double()
    if method == "mse":
        return {name: _clipped(reach, counts[name]) for name, reach in seen.items()}
    return {name: _middle(reach, counts[name], percentile / 100) for name, reach in seen.items()}


def _tensors(graph: Graph, batches: Iterable[Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of every batch by name, the images first."""
    last = {name: node.output for node in graph.nodes for name in node.inputs}
    for images in batches:
        alive = {graph.image: images}
        yield graph.image, images
        for node in graph.nodes:
            inputs = [alive[name] for name in node.inputs]
            alive[node.output] = node.operator.run(inputs, node.constants)
            yield node.output, alive[node.output]
            for name in node.inputs:
                if last[name] == node.output:
                    alive.pop(name, None)


def _clipped(reach: Range, counts: Tensor) -> Range:
    """The share of a range at which rounding and clipping together cost least."""
    width = (reach.high - reach.low) / len(counts)
    if width <= 0:
        return reach
    centres = reach.low + (torch.arange(len(counts), dtype=torch.float64) + 0.5) * width
    best, least = reach, float("inf")
    for k in range(_CLIPS):
        share = 1 - 0.01 * k
        low, high = min(reach.low, 0.0) * share, max(reach.high, 0.0) * share
        rounding = ((high - low) / _STEPS) ** 2 / 12
        beyond = (centres - centres.clamp(low, high)).square()
        cost = float((counts * torch.where(beyond > 0, beyond, rounding)).sum())
        if cost < least:
            best, least = Range(low, high), cost
    return best


def _middle(reach: Range, counts: Tensor, share: float) -> Range:
    """What holds a share of all numbers, with as many below as above."""
    width = (reach.high - reach.low) / len(counts)
    if width <= 0:
        return reach
    up_to = counts.cumsum(0)

    def place(wanted: float) -> float:
        """Below which a share of the numbers lies, spread evenly within each bin."""
        passed = wanted * up_to[-1]
        k = int(torch.searchsorted(up_to, passed).clamp(max=len(counts) - 1))
        inside = 1 - (up_to[k] - passed) / counts[k]
        return reach.low + float(k + inside) * width

    return Range(place((1 - share) / 2), place((1 + share) / 2))
