"""The parts of MSDNet (Huang et al. 2018): a layer of one scale, and a trunk of several scales."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

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


class ScaleStep(NamedTuple):
    """A module of a `ScaleTrunk`: what it is called, which scales it reads and which it replaces.

    Scale 0 is the finest; -1 is the image.
    """

    name: str
    module: nn.Module
    reads: tuple[int, ...]
    scale: int


class ScaleTrunk(nn.Module):
    """Layers over several scales, with one map of each scale at a time, the latest.

    Args:
        steps: in the order they run; each replaces the map of its scale.
        takes: scales of the maps that the trunk is called with, in order.
        gives: scales of the maps that it returns, in order.
    """

    def __init__(
        self, steps: Iterable[ScaleStep], takes: Sequence[int], gives: Sequence[int]
    ) -> None:
        super().__init__()
        self.takes = tuple(takes)
        self.gives = tuple(gives)
        self._plan: list[tuple[str, tuple[int, ...], int]] = []
        for name, module, reads, scale in steps:
            self.add_module(name, module)
            self._plan.append((name, reads, scale))

    def forward(self, *state: Tensor) -> tuple[Tensor, ...]:
        """Maps of the scales in `takes` to maps of the scales in `gives`."""
        latest = dict(zip(self.takes, state, strict=True))
        for name, reads, scale in self._plan:
            latest[scale] = getattr(self, name)(*[latest[source] for source in reads])
        return tuple(latest[scale] for scale in self.gives)
