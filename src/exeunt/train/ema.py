"""A moving average of the weights, which generalises better than the last step's."""

from __future__ import annotations

import copy

import torch

from exeunt.net import MultiExitNet


class Ema:
    """Follows a network: `average = d * average + (1 - d) * weights` after every step.

    The decay d rises from 0.1 to `decay` over the first steps, so that short runs are not held
    back by their random start. Integer buffers are copied.
    """

    def __init__(self, net: MultiExitNet, decay: float) -> None:
        self.net = copy.deepcopy(net).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, net: MultiExitNet, step: int) -> None:
        """Takes in the weights after `step` (0-based)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        mine, theirs = self.net.state_dict(), net.state_dict()
        floats = [name for name, tensor in mine.items() if tensor.is_floating_point()]
        torch._foreach_lerp_(
            [mine[name] for name in floats], [theirs[name] for name in floats], 1 - decay
        )
        for name in mine.keys() - set(floats):
            mine[name].copy_(theirs[name])
