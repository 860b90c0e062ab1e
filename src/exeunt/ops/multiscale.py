"""What MSDNet is made of (Huang et al. 2018): a layer of one of its scales."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from exeunt.ops.conv import BottleneckConv, ConvNormAct


class ScaleLayer(nn.Module):
    """Puts new channels behind those of its scale, some of them from the next finer scale.

    `strided` reads the finer map and `normal` the own one; `transition`, a 1x1 convolution, narrows
    the whole. Where they are left out, `normal` makes all new channels and `transition` is absent.

    Args:
        in_channels: C of the own map.
        growth: channels that are added; even, half from each map, if there is a finer one.
        factor: of the bottleneck in `normal`.
        finer: channels of the finer map and the factor of the bottleneck in `strided`, or None.
        out_channels: channels behind the transition, or None.
    """

    def __init__(
        self,
        in_channels: int,
        growth: int,
        factor: int,
        finer: tuple[int, int] | None = None,
        out_channels: int | None = None,
    ) -> None:
        super().__init__()
        share = growth
        self.strided: nn.Module | None = None
        if finer is not None:
            share = growth // 2
            self.strided = BottleneckConv(finer[0], share, stride=2, factor=finer[1])
        self.normal = BottleneckConv(in_channels, share, factor=factor)
        self.transition: nn.Module | None = None
        if out_channels is not None:
            self.transition = ConvNormAct(in_channels + growth, out_channels, act=nn.ReLU)

    def forward(self, x: Tensor, finer: Tensor | None = None) -> Tensor:
        """Maps (N, C, H, W), and (N, C_f, H_f, W_f) with H = ceil(H_f / 2) and W likewise, to
        (N, C + growth, H, W) or (N, out_channels, H, W).
        """
        parts = [x] if self.strided is None else [x, self.strided(finer)]
        out = torch.cat((*parts, self.normal(x)), 1)
        return out if self.transition is None else self.transition(out)
