"""Recurrent cells as single steps over many sequences at once.

`torch.nn` runs a cell over one long batch of whole sequences. ReX needs the opposite: the sequences
of overlapping patches share their inputs, so the caller projects every input once and hands each
step the projections it needs. Here a step sees `D` independent weight sets (directions) and `M`
sequences side by side, features first, which keeps every gate a contiguous block:

    projected  (D, G*h, M)   W_ih x_t + b_ih, and b_hh where a gate merely adds it
    state      tuple of (D, h, M)

The weights live in modules of the standard shapes (`nn.GRU`, `nn.LSTM`, `nn.RNN`), in `FastGRNN` or
in `MinGRU`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from exeunt.ops.watched import with_own_backward

State = tuple[Tensor, ...]
Step = Callable[[Tensor, State, Tensor, Tensor], State]
Gradients = tuple[Tensor, State, Tensor, Tensor]
"""With respect to a step's projected inputs, state, weight_hh and bias."""
StepBackward = Callable[[Tensor, State, Tensor, Tensor, State], Gradients]

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward.grad_input


def _tanh(x: Tensor) -> Tensor:
    """`torch.tanh`; on a CPU to 1e-7 in a quarter of its time."""
    if x.device.type != "cpu" or x.dtype.itemsize < 4:
        return torch.tanh(x)
    return 2 * torch.sigmoid(2 * x) - 1


def linear(maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A linear map of the features of (features, ...)."""
    flat = maps.flatten(1)
    out = weight @ flat if bias is None else torch.addmm(bias[:, None], weight, flat)
    return out.view(len(weight), *maps.shape[1:])


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


class MinGRU(nn.Module):
    """One layer of minGRU cells (Feng et al. 2024), parameters named as `nn.GRU` names them.

    `z = sigmoid(W_z x + b_z)`, `c = tanh(W_c x + b_c)` and `h' = h + z (c - h)`. Gates and
    candidates depend on the input alone, so there is no weight from state to state: all products
    of a map are one 1x1 convolution. `weight_ih_l0` is `[W_z, W_c]`, `bias_ih_l0` is `[b_z, b_c]`.
    Initialised as `nn.GRU` is. The tanh, which the published cell does not have, keeps states
    between -1 and 1.
    """

    def __init__(self, input_size: int, hidden_size: int, bidirectional: bool = False) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bidirectional = bidirectional
        bound = hidden_size**-0.5
        for suffix in ("", "_reverse") if bidirectional else ("",):
            for name, shape in (("weight_ih", (input_size,)), ("bias_ih", ())):
                value = torch.empty(2 * hidden_size, *shape).uniform_(-bound, bound)
                self.register_parameter(f"{name}_l0{suffix}", nn.Parameter(value))

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}, bidirectional={self.bidirectional}"


def gru_step(projected: Tensor, state: State, weight_hh: Tensor, bias: Tensor) -> State:
    """One step of `nn.GRU`: gates r, z, n; `bias` is (D, h, 1), what r scales besides W_hn h."""
    (hidden,) = state
    gates = 2 * hidden.shape[1]
    both = torch.sigmoid(torch.baddbmm(projected[:, :gates], weight_hh[:, :gates], hidden))
    reset, update = both.chunk(2, dim=1)
    recurrent = torch.baddbmm(bias, weight_hh[:, gates:], hidden)
    new = _tanh(torch.addcmul(projected[:, gates:], reset, recurrent))
    return (torch.lerp(new, hidden, update),)


def gru_backward(
    projected: Tensor, state: State, weight_hh: Tensor, bias: Tensor, grad_state: State
) -> Gradients:
    """Gradients through `gru_step`, by hand; `projected` is overwritten with its own."""
    (hidden,), (grad,) = state, grad_state
    gates = 2 * hidden.shape[1]
    weight_gates, weight_new = weight_hh[:, :gates], weight_hh[:, gates:]
    both, into_new = projected[:, :gates], projected[:, gates:]
    both.baddbmm_(weight_gates, hidden).sigmoid_()
    reset, update = both.chunk(2, dim=1)
    recurrent = torch.baddbmm(bias, weight_new, hidden)
    new = _tanh(torch.addcmul(into_new, reset, recurrent))

    # From here on `projected` and `recurrent` become the gradients of what they held.
    grad_hidden = grad * update
    _tanh_backward(grad - grad_hidden, new, grad_input=into_new)
    _sigmoid_backward((hidden - new).mul_(grad), update, grad_input=update)
    grad_reset = into_new * recurrent
    torch.mul(into_new, reset, out=recurrent)
    _sigmoid_backward(grad_reset, reset, grad_input=reset)
    grad_hidden.baddbmm_(weight_gates.mT, both).baddbmm_(weight_new.mT, recurrent)
    grad_weight = torch.cat([both @ hidden.mT, recurrent @ hidden.mT], dim=1)
    return projected, (grad_hidden,), grad_weight, recurrent.sum(2, keepdim=True)


def lstm_step(projected: Tensor, state: State, weight_hh: Tensor, bias: Tensor) -> State:
    """One step of `nn.LSTM`: gates i, f, g, o; the state is (h, c); `bias` is empty."""
    hidden, memory = state
    gates = torch.baddbmm(projected, weight_hh, hidden)
    take, keep, new, show = gates.chunk(4, dim=1)
    memory = torch.sigmoid(keep) * memory + torch.sigmoid(take) * _tanh(new)
    return torch.sigmoid(show) * _tanh(memory), memory


def rnn_step(projected: Tensor, state: State, weight_hh: Tensor, bias: Tensor) -> State:
    """One step of `nn.RNN` with tanh; `bias` is empty."""
    (hidden,) = state
    return (_tanh(torch.baddbmm(projected, weight_hh, hidden)),)


def fastgrnn_step(projected: Tensor, state: State, weight_hh: Tensor, bias: Tensor) -> State:
    """One step of `FastGRNN`; `bias` is (D, 2h + 2, 1): both biases, then zeta and nu."""
    (hidden,) = state
    size = hidden.shape[1]
    shared = projected + torch.bmm(weight_hh, hidden)
    update = torch.sigmoid(shared + bias[:, :size])
    new = _tanh(shared + bias[:, size : 2 * size])
    zeta, nu = torch.sigmoid(bias[:, 2 * size :]).chunk(2, dim=1)
    return (update * hidden + (zeta * (1 - update) + nu) * new,)


def mingru_step(projected: Tensor, state: State, weight_hh: Tensor, bias: Tensor) -> State:
    """One step of `MinGRU` on gates that are activated already; weights and bias are empty."""
    update, new = projected.chunk(2, dim=1)
    return (torch.lerp(state[0], new, update),)


def mingru_activate(projected: Tensor, directions: int) -> Tensor:
    """Update gates and candidates of every pixel, from (D*2h, ...) to the same shape."""
    if with_own_backward():
        gates: Tensor = _Gates.apply(projected, directions)  # type: ignore[no-untyped-call]
        return gates
    update, new = gate_maps(projected, directions)
    return torch.stack([torch.sigmoid(update), _tanh(new)], dim=1).flatten(0, 2)


def gate_maps(maps: Tensor, directions: int) -> tuple[Tensor, ...]:
    """Update gates and candidates of a minGRU, (D, h, ...) each, from (D*2h, ...)."""
    return maps.reshape(directions, 2, -1, *maps.shape[1:]).unbind(1)


class _Gates(torch.autograd.Function):
    """`mingru_activate`, in one map there and in one back."""

    @staticmethod
    def forward(ctx: Any, projected: Tensor, directions: int) -> Tensor:
        gates = projected.new_empty(projected.shape)
        (before, new), (z, c) = gate_maps(projected, directions), gate_maps(gates, directions)
        torch.sigmoid(before, out=z)
        c.copy_(_tanh(new))
        ctx.save_for_backward(gates)
        ctx.directions = directions
        return gates

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (gates,) = ctx.saved_tensors
        into = torch.empty_like(gates)
        parts = (gate_maps(x, ctx.directions) for x in (grad, gates, into))
        (grad_z, grad_c), (z, c), (into_z, into_c) = parts
        _sigmoid_backward(grad_z, z, grad_input=into_z)
        _tanh_backward(grad_c, c, grad_input=into_c)
        return into, None


@dataclass(frozen=True)
class Cell:
    """A kind of recurrent cell: its module, one step of it, and its size in gates and states.

    Attributes:
        module: builds the parameters, `module(input_size, hidden_size, bidirectional=)`.
        step: one time step over all sequences.
        gates: weight matrices that read the input (3 for a GRU); MACs of a step are
            `gates * (inputs * hidden + hidden**2)`.
        states: tensors that travel from step to step.
        step_backward: the step's derivative by hand, where there is one.
        activate: what happens to projected inputs before any step, where gates depend on the input
            alone: `activate(projected, directions)`, (D*G*h, ...), to `[z | c]` of every direction.
            Such a cell has no weights from state to state, its step is `h + z (c - h)`, and costs
            no MACs.
    """

    module: Any
    step: Step
    gates: int
    states: int = 1
    step_backward: StepBackward | None = None
    activate: Callable[[Tensor, int], Tensor] | None = None

    def project(self, maps: Tensor, weights: CellWeights) -> Tensor:
        """What every step reads, for all pixels at once: (inputs, ...) to (D*G*h, ...)."""
        projected = linear(maps, weights.weight_ih, weights.bias_ih)
        if self.activate is None:
            return projected
        return self.activate(projected, len(weights.weight_hh))

    def step_macs(self, hidden: int) -> int:
        """Multiply-adds from state to state of one step."""
        return 0 if self.activate else self.gates * hidden**2

    def backward(
        self, projected: Tensor, state: State, weight_hh: Tensor, bias: Tensor, grad_state: State
    ) -> Gradients:
        """Gradients through one step, which is computed again; may overwrite `projected`."""
        if self.step_backward is not None:
            return self.step_backward(projected, state, weight_hh, bias, grad_state)
        inputs = [
            tensor.detach().requires_grad_() for tensor in (projected, weight_hh, bias, *state)
        ]
        with torch.enable_grad():
            taken, weight, offset, *before = inputs
            after = self.step(taken, tuple(before), weight, offset)
        grads = torch.autograd.grad(after, inputs, grad_state, materialize_grads=True)
        return grads[0], grads[3:], grads[1], grads[2]


CELLS: dict[str, Cell] = {
    "gru": Cell(nn.GRU, gru_step, gates=3, step_backward=gru_backward),
    "lstm": Cell(nn.LSTM, lstm_step, gates=4, states=2),
    "rnn": Cell(nn.RNN, rnn_step, gates=1),
    "fastgrnn": Cell(FastGRNN, fastgrnn_step, gates=1),
    "mingru": Cell(MinGRU, mingru_step, gates=2, activate=mingru_activate),
}


RECURRENT = (nn.RNNBase, FastGRNN, MinGRU)


def recurrent_parameters(net: nn.Module) -> list[nn.Parameter]:
    """The parameters of all recurrent cells in `net`, those of ReX, RNNPool and ReNet alike."""
    cells = [module for module in net.modules() if isinstance(module, RECURRENT)]
    return [parameter for cell in cells for parameter in cell.parameters()]


@torch.no_grad()
def start_recurrent(net: nn.Module) -> None:
    """Starts all recurrent cells in `net` so that they remember: orthogonal matrices for each gate,
    biases 0, and 1 for the gate that keeps the state (-1 where the gate lets the new one in).

    `FastGRNN` keeps its own start, and `nn.RNN` has no gates.
    """
    for module in net.modules():
        if not isinstance(module, (nn.RNNBase, MinGRU)):
            continue
        gates = next(c.gates for c in CELLS.values() if isinstance(module, c.module))
        for name, parameter in module.named_parameters():
            if name.startswith("weight"):
                for gate in parameter.chunk(gates):
                    nn.init.orthogonal_(gate)
            else:
                nn.init.zeros_(parameter)
        size = module.hidden_size
        kept = slice(0, size) if isinstance(module, MinGRU) else slice(size, 2 * size)
        if not isinstance(module, nn.RNN):  # GRU: r, z, n; LSTM: i, f, g, o
            for name, parameter in module.named_parameters():
                if name.startswith("bias_ih"):
                    parameter[kept] = -1.0 if isinstance(module, MinGRU) else 1.0


class CellWeights(NamedTuple):
    """The weights of a recurrent module, stacked over its directions.

    Attributes:
        weight_ih: (D*G*h, inputs), projects the input for all directions in one product.
        bias_ih: (D*G*h,), the biases that are added to it; None where the step adds all of them.
        weight_hh: (D, G*h, h); (D, 0, h) where states have no weights.
        bias: (D, *, 1), the biases that the step adds, possibly none.
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
        if isinstance(module, MinGRU):
            none = weight_ih.new_empty(directions, 0, module.hidden_size)
            return cls(weight_ih, torch.cat(parts("bias_ih")), none, none[..., :1])
        weight_hh = torch.stack(parts("weight_hh"))
        if isinstance(module, FastGRNN):
            pairs = zip(parts("bias_ih"), parts("mix"), strict=True)
            bias = torch.stack([torch.cat(pair) for pair in pairs])
            return cls(weight_ih, None, weight_hh, bias.unsqueeze(-1))
        bias_ih, bias_hh = torch.stack(parts("bias_ih")), torch.stack(parts("bias_hh"))
        scaled = module.hidden_size if isinstance(module, nn.GRU) else 0  # by the reset gate
        added = bias_hh.shape[1] - scaled
        bias_ih = bias_ih + F.pad(bias_hh[:, :added], (0, scaled))
        return cls(weight_ih, bias_ih.flatten(), weight_hh, bias_hh[:, added:].unsqueeze(-1))
