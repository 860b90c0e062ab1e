"""Recurrent cells as single steps over many sequences at once.

`torch.nn` runs a cell over one long batch of whole sequences. ReX needs the opposite: the sequences
of overlapping patches share their inputs, so the caller projects every input once and hands each
step the projections it needs. Here a step sees `D` independent weight sets (directions) and `M`
sequences side by side, features first, which keeps every gate a contiguous block:

    projected  (D, G*h, M)   W_ih x_t + b_ih
    state      tuple of (D, h, M)

The weights live in modules of the standard shapes (`nn.GRU`, `nn.LSTM`, `nn.RNN`) or in `FastGRNN`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

State = tuple[Tensor, ...]
Step = Callable[[Tensor, State, Tensor, Tensor], State]


class FastGRNN(nn.Module):
    """One layer of FastGRNN cells (Kusupati et al. 2018), parameters named as `nn.GRU` names them.

    `z = sigmoid(a + b_z)`, `c = tanh(a + b_c)` with the shared `a = W x + U h`, and
    `h' = z h + (sigmoid(zeta) (1 - z) + sigmoid(nu)) c`. `bias_ih_l0` is `[b_z, b_c]`.
    Initialised as RNNPool does: W and U ~ 0.1 N(0, 1), biases 1, zeta 100, nu -100.
    """

    def __init__(self, input_size: int, hidden_size: int, bidirectional: bool = False) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bidirectional = bidirectional
        for suffix in ("", "_reverse") if bidirectional else ("",):
            parameters = {
                "weight_ih": 0.1 * torch.randn(hidden_size, input_size),
                "weight_hh": 0.1 * torch.randn(hidden_size, hidden_size),
                "bias_ih": torch.ones(2 * hidden_size),
                "mix": torch.tensor([100.0, -100.0]),  # zeta, nu
            }
            for name, value in parameters.items():
                self.register_parameter(f"{name}_l0{suffix}", nn.Parameter(value))

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}, bidirectional={self.bidirectional}"


def gru_step(projected: Tensor, state: State, weight_hh: Tensor, bias_hh: Tensor) -> State:
    """One step of `nn.GRU`: gates r, z, n; the reset gate acts after the hidden projection."""
    (hidden,) = state
    sizes = (2 * hidden.shape[1], hidden.shape[1])
    into_gates, into_new = projected.split(sizes, dim=1)
    from_gates, from_new = torch.baddbmm(bias_hh, weight_hh, hidden).split(sizes, dim=1)
    reset, update = torch.sigmoid(into_gates + from_gates).split(hidden.shape[1], dim=1)
    new = torch.tanh(torch.addcmul(into_new, reset, from_new))
    return (torch.lerp(new, hidden, update),)


def lstm_step(projected: Tensor, state: State, weight_hh: Tensor, bias_hh: Tensor) -> State:
    """One step of `nn.LSTM`: gates i, f, g, o; the state is (h, c)."""
    hidden, memory = state
    gates = projected + torch.baddbmm(bias_hh, weight_hh, hidden)
    take, keep, new, show = gates.split(hidden.shape[1], dim=1)
    memory = torch.sigmoid(keep) * memory + torch.sigmoid(take) * torch.tanh(new)
    return torch.sigmoid(show) * torch.tanh(memory), memory


def rnn_step(projected: Tensor, state: State, weight_hh: Tensor, bias_hh: Tensor) -> State:
    """One step of `nn.RNN` with tanh."""
    (hidden,) = state
    return (torch.tanh(projected + torch.baddbmm(bias_hh, weight_hh, hidden)),)


def fastgrnn_step(projected: Tensor, state: State, weight_hh: Tensor, bias: Tensor) -> State:
    """One step of `FastGRNN`; `bias` is (D, 2h + 2, 1): both biases, then zeta and nu."""
    (hidden,) = state
    size = hidden.shape[1]
    shared = projected + torch.bmm(weight_hh, hidden)
    update = torch.sigmoid(shared + bias[:, :size])
    new = torch.tanh(shared + bias[:, size : 2 * size])
    zeta, nu = torch.sigmoid(bias[:, 2 * size :]).chunk(2, dim=1)
    return (update * hidden + (zeta * (1 - update) + nu) * new,)


@dataclass(frozen=True)
class Cell:
    """A kind of recurrent cell: its module, one step of it, and its size in gates and states.

    Attributes:
        module: builds the parameters, `module(input_size, hidden_size, bidirectional=)`.
        step: one time step over all sequences.
        gates: weight matrices of each kind (3 for a GRU); MACs of a step are
            `gates * (inputs * hidden + hidden**2)`.
        states: tensors that travel from step to step.
    """

    module: Callable[..., nn.Module]
    step: Step
    gates: int
    states: int = 1


CELLS: dict[str, Cell] = {
    "gru": Cell(nn.GRU, gru_step, gates=3),
    "lstm": Cell(nn.LSTM, lstm_step, gates=4, states=2),
    "rnn": Cell(nn.RNN, rnn_step, gates=1),
    "fastgrnn": Cell(FastGRNN, fastgrnn_step, gates=1),
}


@dataclass(frozen=True)
class CellWeights:
    """The weights of a recurrent module, stacked over its directions.

    Attributes:
        weight_ih: (D*G*h, inputs), projects the input for all directions in one product.
        bias_ih: (D*G*h,) or None where the cell adds its bias itself.
        weight_hh: (D, G*h, h).
        bias: (D, *, 1), what the step adds.
    """

    weight_ih: Tensor
    bias_ih: Tensor | None
    weight_hh: Tensor
    bias: Tensor

    @classmethod
    def of(cls, module: nn.Module, directions: int) -> CellWeights:
        """Reads `module`; with two directions a one-way module lends its weights to both."""
        suffixes = (
            ["", "_reverse"] if getattr(module, "bidirectional", False) else [""] * directions
        )

        def parts(name: str) -> list[Tensor]:
            return [getattr(module, f"{name}_l0{suffix}") for suffix in suffixes]

        weight_ih = torch.cat(parts("weight_ih"))
        weight_hh = torch.stack(parts("weight_hh"))
        if isinstance(module, FastGRNN):
            pairs = zip(parts("bias_ih"), parts("mix"), strict=True)
            bias = torch.stack([torch.cat(pair) for pair in pairs])
            return cls(weight_ih, None, weight_hh, bias.unsqueeze(-1))
        bias_hh = torch.stack(parts("bias_hh"))
        return cls(weight_ih, torch.cat(parts("bias_ih")), weight_hh, bias_hh.unsqueeze(-1))
