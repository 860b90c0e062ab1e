"""The parts of DenseNet-BC (Huang et al. 2017): a layer that adds channels, and a transition."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from exeunt.ops.conv import NormActConv


class DenseLayer(nn.Module):
    """Puts `growth` new channels behind those it reads: (N, C, H, W) to (N, C + growth, H, W).

    A 1x1 bottleneck of `4 * growth` channels and a 3x3 convolution, each behind batch norm and
    ReLU.
    """

    def __init__(self, in_channels: int, growth: int) -> None:
        super().__init__()
        self.reduce = NormActConv(in_channels, 4 * growth)
        self.grow = NormActConv(4 * growth, growth, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((x, self.grow(self.reduce(x))), 1)


class Transition(nn.Sequential):
    """Batch norm, ReLU, 1x1 convolution, 2x2 average: (N, C, H, W) to (N, C', H/2, W/2), rounded
    down.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            OrderedDict(reduce=NormActConv(in_channels, out_channels), pool=nn.AvgPool2d(2))
        )
