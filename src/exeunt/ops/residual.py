"""Residual blocks of two 3x3 convolutions, with the activation behind the sum or before it."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from exeunt.ops.conv import ConvNormAct, NormAct, NormActConv


class PadShortcut(nn.Module):
    """A shortcut without parameters (He et al. 2016, option A).

    Every `stride`-th pixel, then channels of zeros: (N, C, H, W) to (N, C', H/s, W/s), rounded up.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.added = out_channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.added))


class BasicBlock(nn.Module):
    """The residual block of the shallower ResNets (He et al. 2016): ReLU behind the sum.

    Where the size or width changes, the shortcut is a 1x1 convolution with batch norm, or without
    `projection` a `PadShortcut`.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, projection: bool = True
    ) -> None:
        super().__init__()
        self.conv1 = ConvNormAct(in_channels, out_channels, 3, stride, act=nn.ReLU)
        self.conv2 = ConvNormAct(out_channels, out_channels, 3, act=None)
        self.shortcut: nn.Module
        if stride == 1 and in_channels == out_channels:
            self.shortcut = nn.Identity()
        elif projection:
            self.shortcut = ConvNormAct(in_channels, out_channels, 1, stride, act=None)
        else:
            self.shortcut = PadShortcut(in_channels, out_channels, stride)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.conv2(self.conv1(x)) + self.shortcut(x))
        return out


class PreactBlock(nn.Module):
    """The residual block of wide ResNets (Zagoruyko and Komodakis 2016): nothing behind the sum.

    Where the size or width changes, the shortcut is a 1x1 convolution of the activated input.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.pre = NormAct(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.conv2 = NormActConv(out_channels, out_channels, 3)
        self.shortcut = (
            None
            if stride == 1 and in_channels == out_channels
            else nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        ready = self.pre(x)
        out: Tensor = self.conv2(self.conv1(ready))
        return out + (x if self.shortcut is None else self.shortcut(ready))
