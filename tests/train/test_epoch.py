from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

from exeunt.data import Batch
from exeunt.net import MultiExitNet, Stage
from exeunt.ops.exits import PooledExit
from exeunt.train import TrainConfig
from exeunt.train.checkpoint import TrainState
from exeunt.train.ema import Ema
from exeunt.train.epoch import train_step
from exeunt.train.regimes import Joint


class Toll(nn.Module):
    """Passes a map on, and asks for its weight to be 0."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: Tensor) -> Tensor:
        return x

    def auxiliary_loss(self) -> Tensor:
        return self.weight.square()


def test_a_step_follows_the_losses_of_modules_too() -> None:
    """The toll's weight has no part in the logits, and moves by lr times its own slope."""
    toll = Toll()
    net = MultiExitNet([Stage(toll, PooledExit(3, 2))], 2)
    state = TrainState(net, Ema(net, 0.9), SGD(net.parameters(), lr=0.25), [])
    batch = Batch(torch.randn(4, 3, 5, 5), torch.tensor([0, 1, 1, 0]), torch.arange(4), [])
    config = TrainConfig("toll")
    losses, _ = train_step(state, batch, config, Joint(config, (1,)))
    assert toll.weight.item() == pytest.approx(2 - 0.25 * 2 * 2)
    assert losses[0] < 1  # the loss that is shown is the exit's alone
