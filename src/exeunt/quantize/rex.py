"""ReX in integers: int8 input and weights, 16-bit states, gates in 4096ths."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exeunt.ops.recurrence import FastGRNN
from exeunt.ops.rex import ReX2d, Window
from exeunt.ops.sweep import gather
from exeunt.quantize.operators import IntegerOperator, looked_up
from exeunt.quantize.scale import INT16, Factor, Scale

STATE_ONE = 1 << 15
GATE_ONE = 1 << 12
MAX_GATE = 65535
TANH = torch.tensor(
    [round(32767 * math.tanh(min(i, 256) / 32)) for i in range(258)], dtype=torch.int32
)

_ROWS, _COLUMNS = 1, 2


def hyperbolic(x: Tensor) -> Tensor:
    """tanh of 4096ths in 32768ths, int32: a table of 32nds, and straight lines between."""
    size = x.abs().clamp(max=32767)
    at, rest = size >> 7, size & 127
    here, next_ = TANH[at], TANH[at + 1]
    value = here + (((next_ - here) * rest + 64) >> 7)
    return torch.where(x < 0, -value, value)


def sigmoid(x: Tensor) -> Tensor:
    """The logistic function of 4096ths in 32768ths."""
    return (STATE_ONE + hyperbolic(x >> 1)) >> 1


class Curve:
    """A function of integers as a table of all its results, which is faster than working them out.

    Args:
        function: of a tensor of integers.
        most: beyond which, either way, it stays the same.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], most: int) -> None:
        self.most = most
        self.results = function(torch.arange(-most, most + 1, dtype=torch.int32))

    def __call__(self, x: Tensor) -> Tensor:
        return looked_up(self.results, x.clamp(-self.most, self.most).add_(self.most))


@cache
def curves() -> tuple[Curve, Curve]:
    """`hyperbolic` and `sigmoid`."""
    return Curve(hyperbolic, 1 << 15), Curve(sigmoid, 1 << 16)


@dataclass(frozen=True)
class Projection:
    """A matrix whose sums become 4096ths: weights (G, C), biases and factors by row."""

    weight: Tensor
    bias: Tensor
    factor: Factor

    @cached_property
    def _scaled(self) -> tuple[Tensor, Tensor]:
        """Weights, and biases and a half, times factors: sums of 28 bits times 24 are exact."""
        factor = self.factor.real[:, None]
        return self.weight.double() * factor, self.bias.double()[:, None] * factor + 0.5

    def apply(self, x: Tensor) -> Tensor:
        """(C, ...) to (G, ...), int32."""
        weight, bias = self._scaled
        rounded = torch.addmm(bias, weight, x.flatten(1).double()).floor_()
        return rounded.int().view(-1, *x.shape[1:])


@dataclass(frozen=True)
class Rescaling:
    """What is added to states, and the factors of both, by row."""

    bias: Tensor
    factor: Factor

    def apply(self, states: Tensor) -> Tensor:
        """(C, ...) to (C, ...), int32."""
        sums = states.flatten(1) + self.bias[:, None]
        return self.factor.apply(sums[None])[0].int().view_as(states)


@dataclass(frozen=True)
class IntegerCell(ABC):
    """A recurrent cell.

    Attributes:
        inputs: from an input to gates, all units of each one after the other.
        states: numbers that travel from step to step, for each unit; the first one is read.
    """

    inputs: Projection

    gates: ClassVar[int]
    states: ClassVar[int] = 1

    @property
    def units(self) -> int:
        return len(self.inputs.bias) // self.gates

    def take(self, x: Tensor) -> Tensor:
        """What steps read of inputs (C, ...)."""
        return self.inputs.apply(x)

    @abstractmethod
    def step(self, taken: Tensor, state: Tensor) -> Tensor:
        """One step for many sweeps at once: (G h, ...) and the state (S h, ...) to the next."""

    def run(self, steps: Sequence[Tensor]) -> Tensor:
        """Of the last state what others read (h, ...); inputs were taken in, (G h, ...) each."""
        state = torch.zeros_like(steps[0][: self.states * self.units])
        for taken in steps:
            state = self.step(taken, state)
        return state[: self.units]


@dataclass(frozen=True)
class IntegerGRU(IntegerCell):
    """Gates reset, update, new, as in `nn.GRU`."""

    hidden: Projection

    gates = 3

    def step(self, taken: Tensor, state: Tensor) -> Tensor:
        tanh, logistic = curves()
        recurrent, both = self.hidden.apply(state), 2 * self.units
        reset, update = logistic(taken[:both] + recurrent[:both]).chunk(2)
        new = recurrent[both:].clamp_(-MAX_GATE, MAX_GATE).mul_(reset).add_(16384) >> 15
        fresh = tanh(new.add_(taken[both:]))
        return fresh + ((update * (state - fresh) + 16384) >> 15)


@dataclass(frozen=True)
class IntegerRNN(IntegerCell):
    """`nn.RNN` with tanh."""

    hidden: Projection

    gates = 1

    def step(self, taken: Tensor, state: Tensor) -> Tensor:
        tanh, _ = curves()
        return tanh(self.hidden.apply(state).add_(taken))


@dataclass(frozen=True)
class IntegerLSTM(IntegerCell):
    """Gates take, keep, new, show, as in `nn.LSTM`; the state is what is shown, then the memory.

    A memory is of 4096ths, as what tanh reads, and ends at 8, whose tanh is 1 in 32768ths.
    """

    hidden: Projection

    gates = 4
    states = 2

    def step(self, taken: Tensor, state: Tensor) -> Tensor:
        tanh, logistic = curves()
        shown, memory = state.chunk(2)
        take, keep, new, show = self.hidden.apply(shown).add_(taken).chunk(4)
        added = (logistic(take) * tanh(new)) >> 3
        memory = (logistic(keep) * memory + added + 16384) >> 15
        memory = memory.clamp_(*INT16)
        return torch.cat([(logistic(show) * tanh(memory) + 16384) >> 15, memory])


@dataclass(frozen=True)
class IntegerMinGRU(IntegerCell):
    """Gates keep, new: keep is 1 minus the update of `MinGRU`, and comes from its weights negated.

    Steps read keep, and what the new adds: `h' = keep h + (1 - keep) c` is rounded once.
    """

    gates = 2

    def take(self, x: Tensor) -> Tensor:
        tanh, logistic = curves()
        keep, new = self.inputs.apply(x).chunk(2)
        keep = logistic(keep)
        return torch.cat([keep, (STATE_ONE - keep) * tanh(new) + 16384])

    def step(self, taken: Tensor, state: Tensor) -> Tensor:
        keep, added = taken.chunk(2)
        return (keep * state + added) >> 15


@dataclass(frozen=True)
class IntegerFastGRNN(IntegerCell):
    """One sum of input and state, which update and new share; what is 1 of the new is at most that
    of a state.

    Attributes:
        biases: of update and new in 4096ths (2, h).
        zeta: how much of the new comes in where the old goes, in steps of a state.
        nu: and always.
    """

    hidden: Projection
    biases: Tensor
    zeta: int
    nu: int

    gates = 1

    def step(self, taken: Tensor, state: Tensor) -> Tensor:
        tanh, logistic = curves()
        shared = taken + self.hidden.apply(state)
        update, new = (bias.view(-1, *(1,) * (shared.dim() - 1)) for bias in self.biases)
        keep, fresh = logistic(shared + update), tanh(shared + new)
        share = ((self.zeta * (STATE_ONE - keep) + 16384) >> 15) + self.nu
        mixed = (keep * state + share * fresh + 16384) >> 15
        return mixed.clamp_(1 - STATE_ONE, STATE_ONE - 1)


def state_bits(rnn: nn.Module, steps: int) -> int:
    """How many bits above 1 the states of a cell may reach in so many steps from 0.

    Only a FastGRNN's leave -1 to 1. They grow by nu in a step, and from zeta + nu:
    `z h + (zeta (1 - z) + nu) c` is largest at an end of z, h and c.
    """
    if not isinstance(rnn, FastGRNN):
        return 0
    mixes: list[Tensor] = [mix for name, mix in rnn.named_parameters() if name.startswith("mix")]
    ends = torch.stack(mixes).detach().double().sigmoid()
    most = float((ends[:, 0] + steps * ends[:, 1]).max())
    return max(0, math.ceil(math.log2(most)))


@dataclass(frozen=True)
class IntegerReX(IntegerOperator):
    """`ReX2d`, and scale and shift by channel behind it if there are any.

    Attributes:
        rex: sizes and which branches there are.
        first: the cell that runs along rows and columns.
        second: the cells over summaries, forward and backward; none if there is no such branch.
        linear: of all summaries, in steps of the output; None if there is no such branch.
        states: biases and factors from the states that are put out to steps of the output, along
            rows and along columns, both ways; none where there is no such branch.
        zero_in: the input's integer for 0.
        scale: of the output.
    """

    rex: ReX2d
    first: IntegerCell
    second: tuple[IntegerCell, ...]
    linear: Projection | None
    states: tuple[Rescaling, ...]
    zero_in: int
    scale: Scale

    def run(self, inputs: Sequence[Tensor]) -> Tensor:
        x = inputs[0]
        rows, columns = self.rex.windows(x.shape[2], x.shape[3])
        maps = columns.keep(rows.keep(x.permute(1, 2, 3, 0), _ROWS), _COLUMNS)
        edges = (0, 0, columns.lead, columns.trail, rows.lead, rows.trail)
        gates = self.first.take(F.pad(maps, edges, value=self.zero_in))
        row_ends = self.first.run([gates[columns.read(_COLUMNS, t)] for t in range(columns.size)])
        column_ends = self.first.run([gates[rows.read(_ROWS, t)] for t in range(rows.size)])
        parts, states = [], iter(self.states)
        if self.rex.use_rows:
            parts.append(next(states).apply(self._both_ways(row_ends, _ROWS, rows)))
        if self.linear is not None:
            summaries = torch.cat(
                [
                    gather(ends, [window.read(axis, t) for t in range(window.size)])
                    for ends, axis, window in (
                        (row_ends, _ROWS, rows),
                        (column_ends, _COLUMNS, columns),
                    )
                ]
            )
            parts.append(self.linear.apply(summaries))
        if self.rex.use_cols:
            parts.append(next(states).apply(self._both_ways(column_ends, _COLUMNS, columns)))
        out = (torch.cat(parts) + self.scale.zero).clamp(*self.scale.limits)
        out = out.permute(3, 0, 1, 2)
        if rows.repeat or columns.repeat:
            out = F.pad(out.double(), (0, columns.repeat, 0, rows.repeat), "replicate").int()
        return out

    def _both_ways(self, ends: Tensor, axis: int, window: Window) -> Tensor:
        found = []
        for way, cell in enumerate(self.second):
            order = range(window.size) if way == 0 else reversed(range(window.size))
            found.append(cell.run([cell.take(ends[window.read(axis, t)]) for t in order]))
        return torch.cat(found)
