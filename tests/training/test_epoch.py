from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from exeunt.data import Batch, UnreadableTally
from exeunt.net import MultiExitNet, Stage
from exeunt.ops.exits import PooledExit
from exeunt.training import Execution, Quiet, Targets, TrainConfig
from exeunt.training.checkpoint import TrainState
from exeunt.training.ema import Ema
from exeunt.training.epoch import train_epoch, train_step
from exeunt.training.losses import Criterion
from exeunt.training.optimiser import Optimisers
from exeunt.training.regimes import Joint


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
    config = TrainConfig("toll", lr=0.25, momentum=0.0, weight_decay=0.0)
    state = TrainState(net, Ema(net, 0.9), Optimisers(net, config), [])
    images, targets = torch.randn(4, 3, 5, 5), Targets(torch.tensor([0, 1, 1, 0]))
    losses, _ = train_step(state, images, targets, config, Joint(config, (1,)), net, Criterion(0.1))
    assert toll.weight.item() == pytest.approx(2 - 0.25 * 2 * 2)
    assert losses[0] < 1  # the loss that is shown is the exit's alone


def test_the_wait_for_images_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that only loading moves shows an epoch of waiting, one that only steps move none."""
    net = MultiExitNet([Stage(nn.Conv2d(3, 3, 1), PooledExit(3, 2))], 2)
    config = TrainConfig("none", epochs=1)
    state = TrainState(net, Ema(net, 0.9), Optimisers(net, config), [])
    now = 0.0

    def tick(seconds: float) -> None:
        nonlocal now
        now += seconds

    def batches(seconds: float) -> Iterator[Batch]:
        for _ in range(3):
            tick(seconds)
            yield Batch(torch.randn(4, 3, 5, 5), torch.tensor([0, 1, 1, 0]), torch.arange(4), [])

    class Ticking(Quiet):
        def step(self, *seen: object) -> None:
            tick(1.0)

    monkeypatch.setattr("exeunt.training.epoch.time.monotonic", lambda: now)
    regime, tally = Joint(config, (1,)), UnreadableTally(12)
    for seconds, share in ((0.0, 0.0), (1.0, 0.5), (3.0, 0.75)):
        execution = Execution(progress=Ticking())
        entry = train_epoch(state, batches(seconds), 3, config, regime, tally, execution)
        assert entry["data_wait"] == share
        assert entry["seconds"] == 3 + 3 * seconds
