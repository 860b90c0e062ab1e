"""From a graph in float32 and the ranges of its tensors to one in integers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from exeunt.errors import ExeuntError
from exeunt.graph.graph import Graph, Node
from exeunt.graph.normed import into_linear, take_norms
from exeunt.graph.operators import (
    Activation,
    Add,
    Affine,
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
)
from exeunt.graph.own import OwnOperator
from exeunt.graph.pointwise import activate, bounds
from exeunt.ops.rex import ReX2d
from exeunt.quantize.graph import QuantizedGraph
from exeunt.quantize.operators import (
    IntegerAverage,
    IntegerConv,
    IntegerGridPool,
    IntegerLinear,
    IntegerLookup,
    IntegerOperator,
    IntegerPad,
    IntegerPool,
    IntegerProduct,
    IntegerResize,
    IntegerSlope,
    IntegerSum,
    View,
)
from exeunt.quantize.ranges import Range
from exeunt.quantize.rex import (
    GATE_ONE,
    STATE_ONE,
    IntegerCell,
    IntegerGRU,
    IntegerMinGRU,
    IntegerReX,
    Projection,
    Rescaling,
)
from exeunt.quantize.scale import (
    INT8,
    Factor,
    Scale,
)
from exeunt.quantize.scales import choose_scales, reach, weight_step

_LARGEST_SHIFT = 1 << 27  # of states, in their steps
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
        make = _rex if isinstance(node.operator.module, ReX2d) else None
    if isinstance(node.operator, OwnOperator):
        made = node.operator.integer(node, graph, scales)
        make = None if made is None else lambda *_: made
    scores = any(stage.logits == node.output for stage in graph.stages)
    if make is None or (scores and kind is not Linear):
        known = sorted({k.__name__ for k in _MAKERS} | {ReX2d.__name__})
        raise ExeuntError(
            f"{node.module}: no integer form for {node.operator.kind}"
            f"{' as an exit' if scores else ''}; there are {', '.join(known)}, and exits end in "
            "Linear"
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
    q, sums, factor = _rows(weight.flatten(1), bias, steps, taken.zero, reach(taken.zero), node)
    low, high = _limits(node, given)
    return {
        "weight": q.view(weight.shape),
        "bias": sums,
        "factor": factor,
        "zero_in": taken.zero,
        "scale": given,
        "low": low,
        "high": high,
    }


def _rows(
    rows: Tensor,
    bias: Tensor | None,
    steps: tuple[float, float],
    zero: int,
    most: int,
    node: Node,
) -> tuple[Tensor, Tensor, Factor]:
    """Integer weights, what is added to their sums, and factors from these to the output.

    Args:
        rows: of a matrix (C', ...).
        bias: (C'), or None.
        steps: what one step of the input is worth, and one of the output.
        zero: the input's integer for 0.
        most: how many steps from 0 the input may be.
        node: for errors.
    """
    taken, given = steps
    rows = rows.detach().double()
    offset = rows.new_zeros(len(rows)) if bias is None else bias.detach().double()
    step = weight_step(rows, offset / taken, most)
    q = torch.round(rows / step[:, None]).long()
    sums = torch.round(offset / (taken * step)).long() - zero * q.sum(1)
    empty = (q == 0).all(1) & (sums == 0)  # their sums are 0, and have no step
    factor = Factor.of(torch.where(empty, 0.0, taken * step / given).tolist(), node.module)
    Factor.check((q.abs().sum(1) * most + sums.abs()).tolist(), node.module)
    return q, sums, factor


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


def _grid(node: Node, graph: Graph, scales: Mapping[str, Scale]) -> IntegerGridPool:
    pool = node.operator
    assert isinstance(pool, GridPool)
    return IntegerGridPool(pool.of, pool.grid, scales[node.output].zero)


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


def _rex(node: Node, graph: Graph, scales: Mapping[str, Scale]) -> IntegerReX:
    assert isinstance(node.operator, Composite)
    rex = node.operator.module
    assert isinstance(rex, ReX2d)
    if rex.cell not in _CELLS:
        raise ExeuntError(
            f"{node.module}: ReX with {rex.cell} has no integer form; {' and '.join(_CELLS)} have"
        )
    taken, given = scales[node.inputs[0]], scales[node.output]
    cell, state = _CELLS[rex.cell], 1 / STATE_ONE
    second: tuple[IntegerCell, ...] = ()
    if rex.use_rows or rex.use_cols:
        ways = ("l0", "l0") if rex.shared_directions else ("l0", "l0_reverse")
        second = tuple(cell(rex.rnn2, way, state, 0, STATE_ONE, node) for way in ways)
    parameters, norm = into_linear(rex, node.constants)
    linear = None
    if rex.use_global:
        rows = parameters["linear.weight"], parameters["linear.bias"]
        linear = Projection(*_rows(*rows, (state, given.scale), 0, STATE_ONE, node))
    both, scale, shift = 2 * rex.hidden2, norm["norm.scale"], norm["norm.shift"]
    ends = [slice(None, both)] * rex.use_rows + [slice(-both, None)] * rex.use_cols
    return IntegerReX(
        rex,
        cell(rex.rnn1, "l0", taken.scale, taken.zero, reach(taken.zero), node),
        second,
        linear,
        tuple(_rescaling(scale[end], shift[end], given.scale, node) for end in ends),
        taken.zero,
        given,
    )


def _gru(gru: nn.Module, ending: str, step: float, zero: int, most: int, node: Node) -> IntegerGRU:
    """A cell whose inputs have such steps, their integer for 0, and so many steps at most."""
    inputs, hidden = (
        (getattr(gru, f"weight_{kind}_{ending}"), getattr(gru, f"bias_{kind}_{ending}"))
        for kind in ("ih", "hh")
    )
    return IntegerGRU(
        Projection(*_rows(*inputs, (step, 1 / GATE_ONE), zero, most, node)),
        Projection(*_rows(*hidden, (1 / STATE_ONE, 1 / GATE_ONE), 0, STATE_ONE, node)),
    )


def _mingru(
    mingru: nn.Module, ending: str, step: float, zero: int, most: int, node: Node
) -> IntegerMinGRU:
    """As `_gru`; what updates a state is negated, and keeps it."""
    weight, bias = (getattr(mingru, f"{name}_ih_{ending}") for name in ("weight", "bias"))
    signs = torch.ones(len(bias))
    signs[: len(bias) // 2] = -1
    rows = weight * signs[:, None], bias * signs
    return IntegerMinGRU(Projection(*_rows(*rows, (step, 1 / GATE_ONE), zero, most, node)))


_CELLS: dict[str, Callable[..., IntegerCell]] = {"gru": _gru, "mingru": _mingru}


def _rescaling(scale: Tensor, shift: Tensor, step: float, node: Node) -> Rescaling:
    """From states to `scale * state + shift` in steps of the output, by channel.

    Where a shift is thousands of times its scale the state counts for a little more than it should,
    so that the sums fit, but still for next to nothing.
    """
    scale, shift = scale.detach().double(), shift.detach().double()
    size = torch.maximum(scale.abs(), shift.abs() * (STATE_ONE / _LARGEST_SHIFT))
    scale = torch.where(scale < 0, -size, size)
    bias = torch.where(size > 0, shift / scale, 0).mul(STATE_ONE).round().long()
    return Rescaling(bias, Factor.of((scale / (STATE_ONE * step)).tolist(), node.module))


Maker = Callable[[Node, Graph, Mapping[str, Scale]], IntegerOperator]
_MAKERS: dict[type[Operator], Maker] = {
    Activation: _activation,
    Add: _add,
    Affine: _affine,
    Conv: _conv,
    GlobalAverage: _average,
    GridPool: _grid,
    Linear: _linear,
    Mix: _mix,
    Multiply: _product,
    Pad: _pad,
    ParametricReLU: _slope,
    Pool: _pool,
    Resize: _resize,
}
