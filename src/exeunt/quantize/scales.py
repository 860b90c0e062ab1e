"""Which scale each tensor of a net gets."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from exeunt.graph.graph import Graph, Node
from exeunt.graph.operators import (
    Add,
    Affine,
    Composite,
    Conv,
    GlobalAverage,
    Linear,
    Mix,
    Multiply,
    ParametricReLU,
)
from exeunt.ops.rex import ReX2d
from exeunt.quantize.ranges import Range
from exeunt.quantize.rex import STATE_ONE, state_bits
from exeunt.quantize.scale import INT8, INT16, LARGEST_FACTOR, SPARE_BITS, SUM_BITS, Scale
from exeunt.quantize.shared_scales import shared_scales

WEIGHT_MOST = 127
_OFFSET_MOST = 2.0**22
_SUM_MOST = 0.98 * 2 ** (SUM_BITS - SPARE_BITS)  # rounding may add to it
_COARSEST_SUMMAND = 2.0**20  # in steps of a sum, beyond which it has no integer form
_ROUNDS = 3

WEIGHTED = {Conv: ("weight", "bias"), Linear: ("weight", "bias"), Affine: ("scale", "shift")}
"""Operators that sum products: names of their factors and of what is added."""


def choose_scales(graph: Graph, ranges: Mapping[str, Range]) -> dict[str, Scale]:
    """The scale of every tensor: int8 over the ranges of all that share it, int16 for scores.

    Scales are coarser where one step of the sums behind a tensor is worth several of its own, which
    would tell nothing more.
    """
    leaders = shared_scales(graph)
    groups: dict[str, list[str]] = defaultdict(list)
    for name, leader in leaders.items():
        groups[leader].append(name)
    scales: dict[str, Scale] = {}
    for group in groups.values():
        low, high = min(ranges[n].low for n in group), max(ranges[n].high for n in group)
        scales |= dict.fromkeys(group, Scale.over(low, high))
    for _ in range(_ROUNDS):
        before = scales
        for node in graph.nodes:
            least = 1.01 * sum_step(node, graph, scales) / LARGEST_FACTOR
            if least > scales[node.output].scale:
                coarser = replace(scales[node.output], scale=least)
                scales = scales | dict.fromkeys(groups[leaders[node.output]], coarser)
        if scales is before:
            break
    for stage in graph.stages:
        found = ranges[stage.logits]
        fine = Scale.symmetric(max(-found.low, found.high), INT16)
        last = next(node for node in stage.nodes if node.output == stage.logits)
        coarse = sum_step(last, graph, scales)
        scales[stage.logits] = replace(fine, scale=max(fine.scale, coarse))
    return scales


def sum_step(node: Node, graph: Graph, scales: Mapping[str, Scale]) -> float:
    """What one step of the sums behind a node is worth, where it is worth most; 0 without sums."""
    taken = scales[node.inputs[0]]
    if isinstance(node.operator, GlobalAverage):
        return taken.scale / math.prod(graph.shapes[node.inputs[0]][1:])
    if isinstance(node.operator, Composite):
        scale = node.constants.get("norm.scale")
        return state_step(node.operator.module) * (1 if scale is None else float(scale.abs().max()))
    if isinstance(node.operator, Multiply):
        return taken.scale * scales[node.inputs[1]].scale
    if isinstance(node.operator, ParametricReLU):
        return taken.scale * max(1.0, float(node.constants["slope"].abs().max()))
    if isinstance(node.operator, Add):
        largest = scales[node.inputs[1]].scale * abs(node.operator.alpha)
        return max(taken.scale, largest) / _COARSEST_SUMMAND
    if isinstance(node.operator, Mix):
        return max(scales[name].scale for name in node.inputs) / _COARSEST_SUMMAND
    names = WEIGHTED.get(type(node.operator))
    if names is None:
        return 0.0
    weight, bias = node.constants[names[0]], node.constants.get(names[1])
    rows = weight.reshape(len(weight), -1).double()
    offset = rows.new_zeros(len(rows)) if bias is None else bias.double()
    step = weight_step(rows, offset / taken.scale, reach(taken.zero))
    return float(torch.where(rows.abs().amax(1) > 0, step, 0.0).max()) * taken.scale


def state_step(module: nn.Module) -> float:
    """What one step of the states is worth that a recurrent operator puts out."""
    bits = state_bits(module.rnn2, max(module.patch_size)) if isinstance(module, ReX2d) else 0
    return 2.0**bits / STATE_ONE


def reach(zero: int) -> int:
    """How many steps from 0 an int8 number may be, `zero` being the integer for 0."""
    return -INT8[0] + abs(zero)


def weight_step(rows: Tensor, offset: Tensor, most: int) -> Tensor:
    """What one step of each row's weights is worth, (C', ...) to (C').

    The largest weight becomes 127, or less where sums would not fit: of inputs up to `most`, and
    of `offset` (C'), both in steps of the input. Nor does an offset alone take more than 22 bits:
    where it does, weights hardly move their output, as those of a channel that training gave up.
    """
    largest = rows.abs().amax(1) / WEIGHT_MOST
    sums = (rows.abs().sum(1) * most + offset.abs()) / _SUM_MOST
    step = torch.maximum(torch.maximum(largest, sums), offset.abs() / _OFFSET_MOST)
    return torch.where(step > 0, step, torch.ones_like(step))
