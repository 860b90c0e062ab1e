"""A moving average of the weights, which generalises better than the last step's."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from exeunt.net import MultiExitNet


class Ema:
    """Follows a network: `average = d * average + (1 - d) * weights` after every step.

    The decay d rises from 0.1 to `decay` over the first steps, so that short runs are not held
    back by their random start.
    """

    def __init__(self, net: MultiExitNet, decay: float) -> None:
        self.net = copy.deepcopy(net).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, net: MultiExitNet, step: int) -> None:
        """Takes in the parameters after `step` (0-based)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.net.parameters()), list(net.parameters()), 1 - decay)

    @torch.no_grad()
    def measure_norms(self, net: MultiExitNet, batches: Iterable[Tensor]) -> None:
        """Sets the batch norms to the mean statistics of these batches of images (N, C, H, W).

        Those only that `net`, which is followed, has in training mode. No batch has passed through
        averaged weights before, and an average of the statistics that other weights had fits them
        badly while the weights still move (Wu and Johnson 2021).
        """
        norms = [
            mine
            for mine, theirs in zip(self.net.modules(), net.modules(), strict=True)
            if isinstance(mine, _BatchNorm) and theirs.training
        ]
        if not norms:
            return
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain mean over all batches
            norm.train()
        for images in batches:
            self.net(images)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        self.net.eval()
