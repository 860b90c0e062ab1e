from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from exeunt.ops.recurrence import CELLS, CellWeights, FastGRNN, gru_backward, gru_step

DIRECTIONS, FEATURES, HIDDEN, SEQUENCES = 2, 5, 4, 7


def make(cell: str, bidirectional: bool = True) -> nn.Module:
    module = CELLS[cell].module(FEATURES, HIDDEN, bidirectional=bidirectional).double()
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module


def step(cell: str, weights: CellWeights, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
    """One step as `sweep` runs it; x is (D, FEATURES, M), every state (D, HIDDEN, M)."""
    projected = torch.bmm(weights.weight_ih.unflatten(0, (len(x), -1)), x)
    if weights.bias_ih is not None:
        projected = projected + weights.bias_ih.view(len(x), -1, 1)
    return CELLS[cell].step(projected, state, weights.weight_hh, weights.bias)


@pytest.mark.parametrize(("cell", "name"), [("gru", "GRU"), ("lstm", "LSTM"), ("rnn", "RNN")])
def test_a_step_is_that_of_torch(cell: str, name: str) -> None:
    module = make(cell)
    x = torch.randn(DIRECTIONS, FEATURES, SEQUENCES).double()
    state = torch.randn(CELLS[cell].states, DIRECTIONS, HIDDEN, SEQUENCES).double()
    after = step(cell, CellWeights.of(module, DIRECTIONS), x, *state)

    for d, suffix in enumerate(("", "_reverse")):
        reference = getattr(nn, f"{name}Cell")(FEATURES, HIDDEN).double()
        for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            setattr(reference, key, getattr(module, f"{key}_l0{suffix}"))
        before = tuple(part[d].T for part in state)
        expected = reference(x[d].T, before if name == "LSTM" else before[0])
        expected = expected if name == "LSTM" else (expected,)
        assert len(after) == len(expected)
        for ours, theirs in zip(after, expected, strict=True):
            torch.testing.assert_close(ours[d].T, theirs)


def test_a_step_of_fastgrnn_is_its_formula() -> None:
    module = make("fastgrnn", bidirectional=False)
    x = torch.randn(1, FEATURES, 1).double()
    h = torch.randn(1, HIDDEN, 1).double()
    (after,) = step("fastgrnn", CellWeights.of(module, 1), x, h)

    def sigmoid(value: float) -> float:
        return 1 / (1 + math.exp(-value))

    zeta, nu = (sigmoid(value) for value in module.mix_l0.tolist())
    for i in range(HIDDEN):
        a = sum(module.weight_ih_l0[i, j].item() * x[0, j, 0].item() for j in range(FEATURES))
        a += sum(module.weight_hh_l0[i, j].item() * h[0, j, 0].item() for j in range(HIDDEN))
        z = sigmoid(a + module.bias_ih_l0[i].item())
        c = math.tanh(a + module.bias_ih_l0[HIDDEN + i].item())
        expected = z * h[0, i, 0].item() + (zeta * (1 - z) + nu) * c
        assert after[0, i, 0].item() == pytest.approx(expected, abs=1e-12)


def test_fastgrnn_starts_as_rnnpool_does() -> None:
    torch.manual_seed(0)
    module = FastGRNN(60, 50, bidirectional=True)
    assert {name: tuple(value.shape) for name, value in module.named_parameters()} == {
        f"{name}_l0{suffix}": shape
        for suffix in ("", "_reverse")
        for name, shape in {
            "weight_ih": (50, 60),
            "weight_hh": (50, 50),
            "bias_ih": (100,),
            "mix": (2,),
        }.items()
    }
    assert module.mix_l0.tolist() == [100.0, -100.0]
    assert module.bias_ih_l0_reverse.eq(1).all()
    assert module.weight_ih_l0.std().item() == pytest.approx(0.1, rel=0.05)
    assert not torch.equal(module.weight_hh_l0, module.weight_hh_l0_reverse)


def test_tanh_loses_nothing_that_matters() -> None:
    module = nn.RNN(1, 1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(1.0)
        module.bias_ih_l0.zero_()
        module.bias_hh_l0.zero_()
    x = torch.linspace(-100, 100, 20001).view(1, 1, -1)
    (after,) = step("rnn", CellWeights.of(module, 1), x, torch.zeros_like(x))
    assert (after.double() - x.double().tanh()).abs().max() < 2e-7


@pytest.mark.parametrize("directions", [1, 2])
def test_the_gradients_of_a_gru_step_by_hand_are_those_of_autograd(directions: int) -> None:
    def leaf(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.double, requires_grad=True)

    projected = leaf(directions, 3 * HIDDEN, SEQUENCES)
    hidden = leaf(directions, HIDDEN, SEQUENCES)
    weight, bias = leaf(directions, 3 * HIDDEN, HIDDEN), leaf(directions, HIDDEN, 1)
    grad = torch.randn(directions, HIDDEN, SEQUENCES, dtype=torch.double)
    after = gru_step(projected, (hidden,), weight, bias)
    expected = torch.autograd.grad(after, [projected, hidden, weight, bias], grad)
    with torch.no_grad():
        taken, (before,), by_weight, by_bias = gru_backward(
            projected.clone(), (hidden,), weight, bias, (grad,)
        )
    torch.testing.assert_close((taken, before, by_weight, by_bias), expected)


@pytest.mark.parametrize("cell", CELLS)
def test_backward_of_every_cell_is_the_numerical_derivative(cell: str) -> None:
    kind = CELLS[cell]
    weights = CellWeights.of(make(cell), DIRECTIONS)
    gates = kind.gates * HIDDEN
    inputs = [
        torch.randn(DIRECTIONS, gates, 3, dtype=torch.double),
        weights.weight_hh.detach(),
        weights.bias.detach(),
        *(torch.randn(DIRECTIONS, HIDDEN, 3, dtype=torch.double) for _ in range(kind.states)),
    ]
    along = [torch.randn_like(part) for part in inputs]
    grads = tuple(torch.randn(DIRECTIONS, HIDDEN, 3).double() for _ in range(kind.states))

    def loss(distance: float) -> float:
        taken, weight, bias, *state = [
            part + distance * way for part, way in zip(inputs, along, strict=True)
        ]
        after = kind.step(taken, tuple(state), weight, bias)
        return sum((part * grad).sum().item() for part, grad in zip(after, grads, strict=True))

    numerical = (loss(1e-5) - loss(-1e-5)) / 2e-5
    taken, weight, bias, *state = [part.clone() for part in inputs]
    by_taken, by_state, by_weight, by_bias = kind.backward(taken, tuple(state), weight, bias, grads)
    analytic = sum(
        (part * way).sum().item()
        for part, way in zip((by_taken, by_weight, by_bias, *by_state), along, strict=True)
    )
    assert analytic == pytest.approx(numerical, rel=1e-6)


def test_one_way_weights_serve_both_directions() -> None:
    module = make("gru", bidirectional=False)
    weights = CellWeights.of(module, 2)
    assert weights.weight_hh.shape == (2, 3 * HIDDEN, HIDDEN)
    assert torch.equal(weights.weight_hh[0], weights.weight_hh[1])
    assert torch.equal(weights.bias[0], weights.bias[1])
    assert torch.equal(*weights.weight_ih.chunk(2))
