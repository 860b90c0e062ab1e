"""From a graph in float32 and the ranges of its tensors to one in integers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from exeunt.errors import ExeuntError
from exeunt.graph.graph import Graph, Node
from exeunt.graph.normed import take_norms
from exeunt.graph.operators import (
    Activation,
    Add,
    Affine,
    ChannelPool,
    Composite,
    Conv,
    GlobalAverage,
    GridPool,
    Linear,
    Mix,
    Multiply,
    Operator,
    Pad,
    ParametricReLU,
    Pool,
    Resize,
    SharpPool,
)
from exeunt.graph.own import OwnOperator
from exeunt.graph.pointwise import activate, bounds
from exeunt.ops.renet import ReNet2d
from exeunt.ops.rex import ReX2d
from exeunt.quantize.graph import QuantizedGraph
from exeunt.quantize.operators import (
    IntegerAverage,
    IntegerChannelPool,
    IntegerConv,
    IntegerGridPool,
    IntegerLinear,
    IntegerLookup,
    IntegerOperator,
    IntegerPad,
    IntegerPool,
    IntegerProduct,
    IntegerResize,
    IntegerSharpPool,
    IntegerSlope,
    IntegerSum,
    View,
)
from exeunt.quantize.policy import SHARPEST, SOFTNESS_BITS
from exeunt.quantize.ranges import Range
from exeunt.quantize.recurrent import recurrent_maker
from exeunt.quantize.rows import integer_rows
from exeunt.quantize.scale import (
    INT8,
    Factor,
    Scale,
)
from exeunt.quantize.scales import choose_scales, reach

_SUM_SHIFT = 22  # of the factors of `IntegerSum`: 255 * 2 * 2**22 stays within 31 bits


def quantize(graph: Graph, ranges: Mapping[str, Range]) -> QuantizedGraph:
    """Quantises a net: int8 tensors, one scale each; int8 weights, one scale per output channel;
    int16 scores.

    Args:
        graph: as `build_graph` makes it.
        ranges: of every tensor (`observe_ranges`).

    Raises:
        ExeuntError: for an operator or activation that has no integer form, naming its module, and
            for sums that do not fit 32 bits.
    """
    graph = take_norms(graph)
    scales = choose_scales(graph, ranges)
    operators = {node.output: _integer(node, graph, scales) for node in graph.nodes}
    return QuantizedGraph(graph, scales, operators)


def _integer(node: Node, graph: Graph, scales: Mapping[str, Scale]) -> IntegerOperator:
    kind = type(node.operator)
    make = _MAKERS.get(kind)
    if make is None and node.operator.moves:
        make = _view
    if isinstance(node.operator, Composite):
        make = recurrent_maker(node.operator.module)
    if isinstance(node.operator, OwnOperator):
        made = node.operator.integer(node, graph, scales)
        make = None if made is None else lambda *_: made
    scores = any(stage.logits == node.output for stage in graph.stages)
    if make is None or (scores and kind not in _EXITS):
        known = sorted({k.__name__ for k in _MAKERS} | {ReX2d.__name__, ReNet2d.__name__})
        raise ExeuntError(
            f"{node.module}: no integer form for {node.operator.kind}"
            f"{' as an exit' if scores else ''}; there are {', '.join(known)}, and exits end in "
            f"{' or '.join(k.__name__ for k in _EXITS)}"
        )
    return make(node, graph, scales)


def _weighted(
    node: Node,
    weight: Tensor,
    bias: Tensor | None,
    scales: Mapping[str, Scale],
) -> dict[str, Any]:
    """What convolutions and matrices have in common: the arguments of `Weighted`."""
    taken, given = scales[node.inputs[0]], scales[node.output]
    steps = (taken.scale, given.scale)
    q, sums, factor = integer_rows(
        weight.flatten(1), bias, steps, taken.zero, reach(taken.zero), node
    )
    low, high = _limits(node, given)
    return {
        "weight": q.view(weight.shape),
        "bias": sums,
        "factor": factor.coarse() if given.limits == INT8 else factor,
        "zero_in": taken.zero,
        "scale": given,
        "low": low,
        "high": high,
    }


def _limits(node: Node, scale: Scale) -> tuple[int, int]:
    act = getattr(node.operator, "act", None)
    ends = bounds(act)
    if ends is None:
        raise ExeuntError(
            f"{node.module}: {node.operator.kind} with {act} has no integer form; functions stand "
            "apart there"
        )
    low, high = scale.limits
    if ends[0] > -math.inf:
        low = min(max(low, scale.zero + round(ends[0] / scale.scale)), high)
    if ends[1] < math.inf:
        high = max(min(high, scale.zero + round(ends[1] / scale.scale)), low)
    return low, high


def _conv(node: Node, graph: Graph, scales: Mapping[str, Scale]) -> IntegerConv:
    conv = node.operator
    assert isinstance(conv, Conv)
    common = _weighted(node, node.constants["weight"], node.constants.get("bias"), scales)
    return IntegerConv(
        **common,
        kernel=conv.kernel,
        stride=conv.stride,
        padding=conv.padding,
        dilation=conv.dilation,
        groups=conv.groups,
        trail=conv.trail,
    )


def _linear(node: Node, graph: Graph, scales: Mapping[str, Scale]) -> IntegerLinear:
    return IntegerLinear(
        **_weighted(node, node.constants["weight"], node.constants.get("bias"), scales)
    )


def _affine(node: Node, graph: Graph, scales: Mapping[str, Scale]) -> IntegerConv:
    """A filter of one pixel."""
    scale = node.constants["scale"]
    common = _weighted(node, scale.view(-1, 1, 1, 1), node.constants["shift"], scales)
    return IntegerConv(**common, kernel=(1, 1), stride=(1, 1), padding=(0, 0), dilation=(1, 1),
                       groups=len(scale))  # fmt: skip


def _sum(node: Node, scales: Mapping[str, Scale], shares: tuple[float, float]) -> IntegerSum:
    a, b = (scales[name] for name in node.inputs)
    given = scales[node.output]
    factors = [s.scale * share / given.scale for s, share in zip((a, b), shares, strict=True)]
    largest = max(map(abs, factors))
    shift = min(_SUM_SHIFT - max(math.frexp(largest)[1], 0), 30)
    if shift < 1:
        raise ExeuntError(f"{node.module}: its inputs are {largest:.3g} times as coarse as its sum")
    by_a, by_b = (round(factor * 2**shift) for factor in factors)
    return IntegerSum(by_a, by_b, shift, a.zero, b.zero, given, *_limits(node, given))


def _add(node: Node, graph: Graph, scales: Mapping[str, Scale]) -> IntegerSum:
    assert isinstance(node.operator, Add)
    return _sum(node, scales, (1.0, node.operator.alpha))


def _product(node: Node, graph: Graph, scales: Mapping[str, Scale]) -> IntegerProduct:
    a, b = (scales[name] for name in node.inputs)
    given = scales[node.output]
    factor = Factor.of([a.scale * b.scale / given.scale], node.module)
    return IntegerProduct(factor, a.zero, b.zero, given, *_limits(node, given))


def _slope(node: Node, graph: Graph, scales: Mapping[str, Scale]) -> IntegerSlope:
    taken, given = scales[node.inputs[0]], scales[node.output]
    above = taken.scale / given.scale
    slopes = node.constants["slope"].double() * above
    of = Factor.of
    return IntegerSlope(
        of([above], node.module), of(slopes.tolist(), node.module), taken.zero, given
    )


def _mix(node: Node, graph: Graph, scales: Mapping[str, Scale]) -> IntegerSum:
    share = float(node.constants["share"])
    return _sum(node, scales, (1 - share, share))


def _average(node: Node, graph: Graph, scales: Mapping[str, Scale]) -> IntegerAverage:
    taken, given = scales[node.inputs[0]], scales[node.output]
    pixels = math.prod(graph.shapes[node.inputs[0]][1:])
    factor = Factor.of([taken.scale / (pixels * given.scale)], node.module)
    Factor.check([255 * pixels], node.module)
    assert isinstance(node.operator, GlobalAverage)
    return IntegerAverage(factor, taken.zero, given, node.operator.keep)


def _pool(node: Node, graph: Graph, scales: Mapping[str, Scale]) -> IntegerPool:
    pool = node.operator
    assert isinstance(pool, Pool)
    return IntegerPool(
        pool.of,
        pool.kernel,
        pool.stride,
        pool.padding,
        pool.ceil,
        pool.count_padding,
        scales[node.output].zero,
    )


def _sharp(node: Node, graph: Graph, scales: Mapping[str, Scale]) -> IntegerSharpPool:
    pool, (taken, sharp) = node.operator, (scales[name] for name in node.inputs)
    assert isinstance(pool, SharpPool)
    softness = round(taken.scale * sharp.scale / math.log(2) * 2**SOFTNESS_BITS)
    return IntegerSharpPool(pool, min(softness, SHARPEST), sharp.zero)


def _grid(node: Node, graph: Graph, scales: Mapping[str, Scale]) -> IntegerGridPool:
    pool = node.operator
    assert isinstance(pool, GridPool)
    return IntegerGridPool(pool.of, pool.grid, scales[node.output].zero)


def _channels(node: Node, graph: Graph, scales: Mapping[str, Scale]) -> IntegerChannelPool:
    assert isinstance(node.operator, ChannelPool)
    return IntegerChannelPool(node.operator.of, scales[node.output].zero)


def _activation(node: Node, graph: Graph, scales: Mapping[str, Scale]) -> IntegerLookup:
    assert isinstance(node.operator, Activation)
    every = torch.arange(INT8[0], INT8[1] + 1)
    values = activate(node.operator.act, scales[node.inputs[0]].real(every))
    return IntegerLookup(scales[node.output].quantized(values))


def _view(node: Node, graph: Graph, scales: Mapping[str, Scale]) -> View:
    return View(node.operator)


def _pad(node: Node, graph: Graph, scales: Mapping[str, Scale]) -> IntegerPad:
    return IntegerPad(node.operator, scales[node.output].zero)


def _resize(node: Node, graph: Graph, scales: Mapping[str, Scale]) -> IntegerResize:
    assert isinstance(node.operator, Resize)
    return IntegerResize(node.operator)


Maker = Callable[[Node, Graph, Mapping[str, Scale]], IntegerOperator]
_MAKERS: dict[type[Operator], Maker] = {
    Activation: _activation,
    Add: _add,
    Affine: _affine,
    ChannelPool: _channels,
    Conv: _conv,
    GlobalAverage: _average,
    GridPool: _grid,
    Linear: _linear,
    Mix: _mix,
    Multiply: _product,
    Pad: _pad,
    ParametricReLU: _slope,
    Pool: _pool,
    SharpPool: _sharp,
    Resize: _resize,
}

_EXITS = (Linear, GlobalAverage)  # whose kernels write scores of 16 bits
