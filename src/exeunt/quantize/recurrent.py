"""From recurrent operators in float32 to integers: ReX, ReNet and their cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from exeunt.errors import ExeuntError
from exeunt.graph.graph import Graph, Node
from exeunt.graph.normed import into_linear
from exeunt.graph.operators import Composite, is_taken_in
from exeunt.ops.renet import ReNet2d
from exeunt.ops.rex import ReX2d
from exeunt.quantize.operators import IntegerOperator
from exeunt.quantize.renet import IntegerReNet
from exeunt.quantize.rex import (
    GATE_ONE,
    STATE_ONE,
    IntegerCell,
    IntegerFastGRNN,
    IntegerGRU,
    IntegerLSTM,
    IntegerMinGRU,
    IntegerReX,
    IntegerRNN,
    Projection,
    Rescaling,
    state_bits,
)
from exeunt.quantize.rows import integer_rows
from exeunt.quantize.scale import Factor, Scale
from exeunt.quantize.scales import reach

_LARGEST_SHIFT = 1 << 27  # of states, in their steps
_LARGEST_BIAS = 1 << 18  # of gates, in 4096ths

Maker = Callable[[Node, Graph, Mapping[str, Scale]], IntegerOperator]


def recurrent_maker(module: nn.Module) -> Maker | None:
    """What makes integers of a module that stays one operator; None for one that has none."""
    if isinstance(module, ReX2d):
        return _rex
    return _renet if isinstance(module, ReNet2d) else None


def _rex(node: Node, graph: Graph, scales: Mapping[str, Scale]) -> IntegerReX:
    assert isinstance(node.operator, Composite)
    rex = node.operator.module
    assert isinstance(rex, ReX2d)
    taken, given = scales[node.inputs[0]], scales[node.output]
    cell, steps = _CELLS[rex.cell], max(rex.patch_size)
    one, two = (2 ** state_bits(rnn, steps) / STATE_ONE for rnn in (rex.rnn1, rex.rnn2))
    second: tuple[IntegerCell, ...] = ()
    if rex.use_rows or rex.use_cols:
        ways = ("l0", "l0") if rex.shared_directions else ("l0", "l0_reverse")
        second = tuple(cell(rex.rnn2, way, one, 0, STATE_ONE, node, two) for way in ways)
    parameters, norm = into_linear(rex, node.constants)
    linear = None
    if rex.use_global:
        rows = parameters["linear.weight"], parameters["linear.bias"]
        linear = Projection(*integer_rows(*rows, (one, given.scale), 0, STATE_ONE, node))
    both, scale, shift = 2 * rex.hidden2, norm["norm.scale"], norm["norm.shift"]
    ends = [slice(None, both)] * rex.use_rows + [slice(-both, None)] * rex.use_cols
    return IntegerReX(
        rex,
        cell(rex.rnn1, "l0", taken.scale, taken.zero, reach(taken.zero), node, one),
        second,
        linear,
        tuple(rescaling(scale[end], shift[end], two, given.scale, node) for end in ends),
        taken.zero,
        given,
    )


def _of_torch(
    kind: type[IntegerGRU] | type[IntegerLSTM] | type[IntegerRNN],
    cell: nn.Module,
    ending: str,
    step: float,
    zero: int,
    most: int,
    node: Node,
    state: float,
) -> IntegerCell:
    """A cell whose inputs have such steps, their integer for 0, and so many steps at most; and what
    a step of its states is worth.
    """
    inputs, hidden = (
        (getattr(cell, f"weight_{of}_{ending}"), getattr(cell, f"bias_{of}_{ending}"))
        for of in ("ih", "hh")
    )
    return kind(
        Projection(*integer_rows(*inputs, (step, 1 / GATE_ONE), zero, most, node)),
        Projection(*integer_rows(*hidden, (state, 1 / GATE_ONE), 0, STATE_ONE, node)),
    )


def _mingru(
    mingru: nn.Module, ending: str, step: float, zero: int, most: int, node: Node, state: float
) -> IntegerMinGRU:
    """As `_of_torch`; what updates a state is negated, and keeps it."""
    weight, bias = (getattr(mingru, f"{name}_ih_{ending}") for name in ("weight", "bias"))
    signs = torch.ones(len(bias))
    signs[: len(bias) // 2] = -1
    rows = weight * signs[:, None], bias * signs
    return IntegerMinGRU(Projection(*integer_rows(*rows, (step, 1 / GATE_ONE), zero, most, node)))


def _fastgrnn(
    cell: nn.Module, ending: str, step: float, zero: int, most: int, node: Node, state: float
) -> IntegerFastGRNN:
    """As `_of_torch`."""
    weights = (getattr(cell, f"weight_{kind}_{ending}") for kind in ("ih", "hh"))
    inputs, hidden = weights
    biases, mix = (getattr(cell, f"{name}_{ending}") for name in ("bias_ih", "mix"))
    zeta, nu = (int(share) for share in (mix.detach().double().sigmoid() / state).round())
    return IntegerFastGRNN(
        Projection(*integer_rows(inputs, None, (step, 1 / GATE_ONE), zero, most, node)),
        Projection(*integer_rows(hidden, None, (state, 1 / GATE_ONE), 0, STATE_ONE, node)),
        (biases.detach() * GATE_ONE).round().clamp(-_LARGEST_BIAS, _LARGEST_BIAS).int().view(2, -1),
        zeta,
        nu,
    )


_gru = partial(_of_torch, IntegerGRU)
_CELLS: dict[str, Callable[..., IntegerCell]] = {
    "gru": _gru,
    "lstm": partial(_of_torch, IntegerLSTM),
    "rnn": partial(_of_torch, IntegerRNN),
    "mingru": _mingru,
    "fastgrnn": _fastgrnn,
}


def rescaling(scale: Tensor, shift: Tensor, state: float, step: float, node: Node) -> Rescaling:
    """From states, in steps that are worth `state`, to `scale * state + shift` in steps of the
    output, by channel.

    Where a shift is thousands of times its scale the state counts for a little more than it should,
    so that the sums fit, but still for next to nothing.
    """
    scale, shift = scale.detach().double(), shift.detach().double()
    size = torch.maximum(scale.abs(), shift.abs() / (state * _LARGEST_SHIFT))
    scale = torch.where(scale < 0, -size, size)
    bias = torch.where(size > 0, shift / scale, 0).div(state).round().long()
    return Rescaling(bias, Factor.of((scale * state / step).tolist(), node.module))


def _renet(node: Node, graph: Graph, scales: Mapping[str, Scale]) -> IntegerReNet:
    assert isinstance(node.operator, Composite)
    renet = node.operator.module
    assert isinstance(renet, ReNet2d)
    if not is_taken_in(renet):
        raise ExeuntError(f"{node.module}: ReNet with {renet.cell} has no integer form; gru has")
    taken, given, state = scales[node.inputs[0]], scales[node.output], 1 / STATE_ONE
    first = taken.scale, taken.zero, reach(taken.zero)
    ways = ("l0", "l0_reverse")
    ones = torch.ones(2 * renet.hidden)
    return IntegerReNet(
        renet,
        tuple(_gru(renet.columns, way, *first, node, state) for way in ways),
        tuple(_gru(renet.rows, way, state, 0, STATE_ONE, node, state) for way in ways),
        rescaling(ones, torch.zeros_like(ones), state, given.scale, node),
        taken.zero,
        given,
    )
