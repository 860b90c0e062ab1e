"""Pools that learn, written in operators that have a plain form: to be followed, not trained.

Each takes the place of a pool in a copy of a stage, and its parameters keep their names.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exeunt.ops.lift import Lift, LiftDownPool2d
from exeunt.ops.pooling import GatedPool2d, GFGP2d, MixedPool2d, sharp_pool


@torch.library.custom_op("exeunt::sharp_pool", mutates_args=())
def _sharp(x: Tensor, sharpness: Tensor, size: int, stride: int) -> Tensor:
    return sharp_pool(x, sharpness, size, stride)


@_sharp.register_fake
def _(x: Tensor, sharpness: Tensor, size: int, stride: int) -> Tensor:
    lines = (-(-(length - size) // stride) + 1 for length in x.shape[2:])
    return x.new_empty(*x.shape[:2], *lines)


class PlainMix(nn.Module):
    """Mixed pooling with one share, or one for each channel."""

    def __init__(self, pool: MixedPool2d) -> None:
        super().__init__()
        self.window, self.logit = (pool.kernel_size, pool.stride), pool.logit

    def forward(self, x: Tensor) -> Tensor:
        share = self.logit.sigmoid()
        average = F.avg_pool2d(x, *self.window, ceil_mode=True)
        largest = F.max_pool2d(x, *self.window, ceil_mode=True)
        if len(share) == 1:
            return torch.lerp(average, largest, share)
        share = share[:, None, None]
        return average * (1 - share) + largest * share


class PlainGate(nn.Module):
    """Gated pooling: a depthwise convolution for the gates."""

    def __init__(self, pool: GatedPool2d) -> None:
        super().__init__()
        self.pool, self.mask = (pool,), pool.mask  # the pool itself has no name in the stage

    def forward(self, x: Tensor) -> Tensor:
        (pool,) = self.pool
        mask = self.mask.expand(x.shape[1], -1, -1, -1)
        padded = F.pad(x, pool.overhang(x))
        gate = F.conv2d(padded, mask, stride=pool.stride, groups=x.shape[1]).sigmoid()
        largest = F.max_pool2d(x, pool.kernel_size, pool.stride, ceil_mode=True)
        average = F.avg_pool2d(x, pool.kernel_size, pool.stride, ceil_mode=True)
        return average + gate * (largest - average)


class PlainGuide(nn.Module):
    """Global-feature-guided pooling: what finds the sharpness, and one operator that pools."""

    def __init__(self, pool: GFGP2d) -> None:
        super().__init__()
        self.window, self.guide = (pool.kernel_size, pool.stride), pool.guide

    def forward(self, x: Tensor) -> Tensor:
        pooled: Tensor = torch.ops.exeunt.sharp_pool(x, self.guide(x), *self.window)
        return pooled


class PlainLift(nn.Module):
    """LiftPool: lines that are picked, convolutions and sums."""

    def __init__(self, pool: LiftDownPool2d) -> None:
        super().__init__()
        self.across, self.down_low, self.down_high = pool.across, pool.down_low, pool.down_high

    def forward(self, x: Tensor) -> Tensor:
        low, high = self._lifted(self.across, x)
        ll, lh = self._lifted(self.down_low, low)
        hl, hh = self._lifted(self.down_high, high)
        return ll + lh + hl + hh

    @staticmethod
    def _lifted(lift: Lift, x: Tensor) -> tuple[Tensor, Tensor]:
        """As `Lift.forward`; of an odd number of lines the last is among both."""
        lines = x.shape[lift.axis]
        odd = torch.arange(1, lines + 1, 2).clamp(max=lines - 1)
        even = torch.index_select(x, lift.axis, torch.arange(0, lines, 2))
        detail = torch.index_select(x, lift.axis, odd) - lift.predict(even)
        return even + lift.update(detail), detail


def plain_pool(module: nn.Module) -> nn.Module | None:
    """What stands for a module in plain operators; None for what stays as it is."""
    if type(module) is MixedPool2d:
        return PlainMix(module)
    if type(module) is GatedPool2d:
        return PlainGate(module)
    if type(module) is LiftDownPool2d:
        return PlainLift(module)
    if type(module) is GFGP2d and isinstance(module.guide.bound, nn.Sigmoid):
        return PlainGuide(module)
    return None
