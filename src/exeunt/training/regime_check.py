"""The contract test of regimes, for those written outside this package too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from exeunt.net import MultiExitNet, Stage
from exeunt.ops.exits import make_exit
from exeunt.training.config import TrainConfig
from exeunt.training.losses import exit_losses
from exeunt.training.mixing import Targets
from exeunt.training.regimes import Pass, Regime

_CLASSES = ("cat", "dog", "fox")
_EXITS = 3


def check_regime(regime: Callable[..., Regime], config: TrainConfig | None = None) -> None:
    """Tests the contract that `Regime` describes, on a small network of three exits.

    In every epoch something learns, the loss is one finite number that says how to change what
    learns, neither the losses nor the logits are changed, and the epoch lies in its span.

    Args:
        regime: what is called as `regime(config, exit_macs, class_names)`.
        config: of a run that it is for; six epochs by default.

    Raises:
        AssertionError: the contract is broken; the message says how.
    """
    config = config or TrainConfig("mobilenetv2", epochs=6)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = _small_net()
        images, targets = torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 2, 0])
    macs = [info.macs for info in net.exit_info(8)]
    made = regime(replace(config), macs, _CLASSES)
    assert isinstance(made, Regime), f"is {type(made).__name__}; give a subclass of Regime"
    for epoch in range(config.epochs):
        where = f"epoch {epoch} of {config.epochs}: "
        first, end = made.span(epoch)
        assert 0 <= first <= epoch < end <= config.epochs, (
            f"{where}span gave {(first, end)}; give epochs from and up to, with this one between"
        )
        made.prepare(net, epoch)
        net.zero_grad(set_to_none=True)
        learning = [p for p in net.parameters() if p.requires_grad]
        assert learning, f"{where}prepare lets nothing learn"
        logits = net(images)
        losses = exit_losses(logits, targets)
        before = [tensor.detach().clone() for tensor in (losses, *logits)]
        loss = made.loss(Pass(images, logits, losses, epoch, Targets(targets)))
        assert isinstance(loss, torch.Tensor), f"{where}loss is {type(loss).__name__}, no tensor"
        assert loss.shape == (), f"{where}loss has shape {tuple(loss.shape)}; give one number"
        assert loss.isfinite(), f"{where}loss is {loss.item()}"
        for was, now in zip(before, (losses, *logits), strict=True):
            assert torch.equal(was, now), f"{where}loss changed losses or logits in place"
        assert loss.requires_grad, f"{where}nothing that learns has a part in the loss"
        loss.backward()  # type: ignore[no-untyped-call]
        grads = [p.grad for p in learning if p.grad is not None]
        assert any(bool(grad.any()) for grad in grads), f"{where}the gradient of the loss is 0"
        assert all(grad.isfinite().all() for grad in grads), f"{where}a gradient is not finite"


def _small_net() -> MultiExitNet:
    """Three convolutions, an exit behind each."""
    stages = [
        Stage(
            nn.Sequential(nn.Conv2d(3 if k == 0 else 4, 4, 3, padding=1), nn.BatchNorm2d(4)),
            make_exit("pooled", 4, len(_CLASSES)),
        )
        for k in range(_EXITS)
    ]
    return MultiExitNet(stages, len(_CLASSES))
