from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from exeunt.training import auxiliary_loss, depth_weighted, exit_losses
from exeunt.training.losses import balanced_weights


def test_later_exits_count_more() -> None:
    """Equation 12: (1*1 + 2*2 + 3*6) / (1 + 2 + 3)."""
    assert depth_weighted(torch.tensor([1.0, 2.0, 6.0])).item() == pytest.approx(23 / 6)


def test_gradients_of_the_joint_loss() -> None:
    losses = torch.ones(4, requires_grad=True)
    depth_weighted(losses).backward()
    assert losses.grad is not None
    assert losses.grad.tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_by_hand(smoothing: float) -> None:
    logits = [torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.5]]), torch.zeros(2, 3)]
    targets = torch.tensor([0, 2])
    expected = []
    for out in logits:
        total = 0.0
        for row, target in zip(out.tolist(), targets.tolist(), strict=True):
            norm = math.log(sum(math.exp(v) for v in row))
            shares = [smoothing / 3 + (1 - smoothing) * (c == target) for c in range(3)]
            total -= sum(share * (v - norm) for share, v in zip(shares, row, strict=True))
        expected.append(total / 2)
    assert exit_losses(logits, targets, smoothing).tolist() == pytest.approx(expected, rel=1e-5)


def test_balanced_weights_by_hand() -> None:
    """n / (K n_c) of 6, 3 and 1 images: all classes then have a third of the loss."""
    targets = [0] * 6 + [1] * 3 + [2]
    weights = balanced_weights(targets, 3)
    assert weights.tolist() == pytest.approx([10 / 18, 10 / 9, 10 / 3])
    assert weights[torch.tensor(targets)].mean().item() == pytest.approx(1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_every_image_is_weighted_by_its_class(smoothing: float) -> None:
    """Over all images and over batches of them alike, whatever classes a batch has."""
    torch.manual_seed(0)
    logits, targets = [torch.randn(10, 3) for _ in range(2)], torch.tensor([0] * 6 + [1] * 3 + [2])
    weights = torch.tensor([10 / 18, 10 / 9, 10 / 3])
    got = exit_losses(logits, targets, smoothing, weights)
    expected = []
    for out in logits:
        means = [
            exit_losses([out[targets == c]], targets[targets == c], smoothing).item()
            for c in range(3)
        ]
        expected.append(sum(means) / 3)
    assert got.tolist() == pytest.approx(expected, rel=1e-5)
    halves = [
        exit_losses([o[k::2] for o in logits], targets[k::2], smoothing, weights) for k in (0, 1)
    ]
    torch.testing.assert_close((halves[0] + halves[1]) / 2, got)


def test_values_take_squared_errors() -> None:
    """Equation 14."""
    logits = [torch.tensor([[1.0], [3.0]]), torch.tensor([[0.5], [2.0]])]
    targets = torch.tensor([0.0, 2.0])
    assert exit_losses(logits, targets).tolist() == pytest.approx([1.0, 0.125])


def test_half_precision_logits_are_summed_in_float32() -> None:
    logits = [torch.randn(4, 3).bfloat16()]
    assert exit_losses(logits, torch.tensor([0, 1, 2, 0])).dtype == torch.float32


class Priced(nn.Linear):
    """A linear layer that asks for its squared weights to be small."""

    def auxiliary_loss(self) -> torch.Tensor:
        return 0.5 * self.weight.square().sum()


def test_auxiliary_losses_of_all_modules_are_summed() -> None:
    net = nn.Sequential(Priced(2, 1), nn.ReLU(), nn.Sequential(Priced(1, 2), nn.Linear(2, 2)))
    for parameter in net.parameters():
        nn.init.constant_(parameter, 3.0)
    loss = auxiliary_loss(net)
    assert loss.item() == 0.5 * 9 * (2 + 2)
    loss.backward()
    assert net[0].weight.grad.tolist() == [[3.0, 3.0]]
    assert net[2][1].weight.grad is None


@pytest.mark.parametrize("net", [nn.Linear(2, 2), nn.ReLU()])
def test_no_auxiliary_loss_is_a_zero(net: nn.Module) -> None:
    loss = auxiliary_loss(net)
    assert (loss.shape, loss.item()) == ((), 0.0)
