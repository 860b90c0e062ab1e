"""RANet's blocks (Yang et al. 2020): dense, and fused with a sub-network of lower resolution.

In both, a layer puts new channels behind those it reads, so the features x_0 to x_L of a block of L
layers are channel prefixes of one tensor, as long as the resolution stays. Blocks return that one
tensor, and whoever reads an x_j takes its first channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from exeunt.errors import ExeuntError
from exeunt.ops.conv import BottleneckConv, ConvNormAct
from exeunt.ops.watched import takes_kernels, with_own_backward


def share_of(channels: int, share: float) -> int:
    """A share of channels, rounded down.

    Raises:
        ExeuntError: when no channel is left.
    """
    part = math.floor(channels * share)
    if part < 1:
        raise ExeuntError(f"a share of {share!r} leaves none of {channels} channels; give more")
    return part


def resize(x: Tensor, size: torch.Size) -> Tensor:
    """Bilinear interpolation with aligned corners: (N, C, H, W) to (N, C, *size)."""
    if x.shape[2:] == size:
        return x
    if with_own_backward() and takes_kernels(x):
        return _resize_by_products(x, size)
    return F.interpolate(x, size=size, mode="bilinear", align_corners=True)


def _resize_by_products(x: Tensor, size: torch.Size) -> Tensor:
    """The same as products with the weights of both axes, whose way back is products too.

    Torch's takes two to three times as long there and back, and leaves the layout.
    """
    maps = x.permute(0, 2, 3, 1)
    n, h, w, c = maps.shape
    down, across = map(_weights, (h, w), size)
    maps = torch.bmm(across.expand(n * h, -1, -1), maps.reshape(n * h, w, c))
    maps = torch.bmm(down.expand(n, -1, -1), maps.view(n, h, -1))
    return maps.view(n, *size, c).permute(0, 3, 1, 2)


@cache
def _weights(length: int, size: int) -> Tensor:
    """How much every line counts in every resized one, (size, length)."""
    lines = torch.eye(length)[None]
    return F.interpolate(lines, size=size, mode="linear", align_corners=True)[0].T.contiguous()


class _Prefixes(torch.autograd.Function):
    """The first channels of a map, several times, as dense maps.

    Slices would be made dense by the convolution that reads each, and again on its way back; and
    the backward pass of every slice fills a whole map.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, channels: Sequence[int]) -> tuple[Tensor, ...]:
        ctx.layout = x.shape, x.stride()
        return tuple(torch.empty_like(x[:, :count]).copy_(x[:, :count]) for count in channels)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        whole = grads[0].new_empty_strided(*ctx.layout).zero_()
        for grad in grads:
            whole[:, : grad.shape[1]] += grad
        return whole, None


class DenseBlock(nn.Module):
    """L bottleneck layers, each of which reads all before it, and a transition (1x1) or none.

    Args:
        in_channels: C of x_0.
        growth: channels that a layer adds.
        depth: L.
        factor: of the layers' bottlenecks.
        reduction: share of the channels that the transition keeps; no transition if None.

    Attributes:
        channels: of x_0 to x_L.
        out_channels: of what the next block reads.

    Raises:
        ExeuntError: when the transition keeps no channel.
    """

    def __init__(
        self,
        in_channels: int,
        growth: int,
        depth: int,
        factor: int = 4,
        reduction: float | None = None,
    ) -> None:
        super().__init__()
        self.channels = [in_channels + j * growth for j in range(depth + 1)]
        self.layers = nn.ModuleList(
            BottleneckConv(channels, growth, factor=factor) for channels in self.channels[:-1]
        )
        self.transition, self.out_channels = _transition(self.channels[-1], reduction)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Maps x_0, (N, C, H, W), to x_L, (N, C + L * growth, H, W).

        With a transition returns two maps, x_L and its transition.
        """
        for layer in self.layers:
            x = torch.cat((x, layer(x)), 1)
        return (x,) if self.transition is None else (x, self.transition(x))


class FusionLayer(nn.Module):
    """Puts `growth` channels behind those it reads, some made from a map of lower resolution.

    Args:
        in_channels: C of the own map.
        low_channels: C of the low one.
        growth: channels that are added.
        share: the part of them, rounded down, that comes from the low map.
        stride: of the own part's convolution.
        factor: of the own part's bottleneck.
        low_factor: of the low part's.

    Raises:
        ExeuntError: when no channel would come from the low map.
    """

    def __init__(
        self,
        in_channels: int,
        low_channels: int,
        growth: int,
        share: float = 0.25,
        stride: int = 1,
        factor: int = 4,
        low_factor: int = 4,
    ) -> None:
        super().__init__()
        part = share_of(growth, share)
        self.own = BottleneckConv(in_channels, growth - part, stride, factor)
        self.low = BottleneckConv(low_channels, part, factor=low_factor)

    def forward(self, x: Tensor, low: Tensor) -> Tensor:
        """Maps x (N, C, H, W) and low (N, C', H', W') to (N, C + growth, H/s, W/s), rounded up.

        The order is x, low, own. The low map is convolved at its own size, then resized.
        """
        own = self.own(x)
        size = own.shape[2:]
        return torch.cat((resize(x, size), resize(self.low(low), size), own), 1)


class FusionBlock(nn.Module):
    """Fusion layers, one for each layer of the low block, and a transition (1x1) or none.

    Args:
        in_channels: C of x_0.
        low_channels: of low_0 to low_L, the features of the block of lower resolution.
        growth: channels that a layer adds.
        share: the part of every layer's channels that comes from the low block, and what `merge`
            adds to x_L at the end, in x_L's channels.
        down: whether the last layer halves the resolution, and all of x_L with it.
        factor: of the layers' bottlenecks in their own part.
        low_factor: of those in their low part.
        reduction: share of the channels that the transition keeps; no transition if None.

    Attributes:
        channels: of x_0 to x_L.
        out_channels: of what the next block reads.

    Raises:
        ExeuntError: when a share leaves no channel.
    """

    def __init__(
        self,
        in_channels: int,
        low_channels: Sequence[int],
        growth: int,
        share: float = 0.25,
        down: bool = False,
        factor: int = 4,
        low_factor: int = 4,
        reduction: float | None = None,
    ) -> None:
        super().__init__()
        self.low_channels = [*low_channels]
        depth = len(self.low_channels) - 1
        self.channels = [in_channels + j * growth for j in range(depth + 1)]
        self.down = down
        self.layers = nn.ModuleList(
            FusionLayer(
                self.channels[j],
                self.low_channels[j],
                growth,
                share,
                stride=2 if down and j == depth - 1 else 1,
                factor=factor,
                low_factor=low_factor,
            )
            for j in range(depth)
        )
        merged = share_of(self.channels[-1], share)
        self.merge = ConvNormAct(self.low_channels[-1], merged, act=nn.ReLU)
        self.transition, self.out_channels = _transition(self.channels[-1] + merged, reduction)

    def forward(self, x: Tensor, low: Tensor, last: Tensor) -> tuple[Tensor, ...]:
        """The maps that later blocks read, the next block's x_0 last.

        Args:
            x: x_0, (N, C, H, W).
            low: a map whose first channels are low_0 to low_{L-1}, of any size.
            last: a map whose first channels are low_L; it may be `low`.

        Returns:
            x_{L-1}, if the last layer halves the resolution; x_L and the output, or where the
            output is no transition of x_L but begins with it, the output alone.
        """
        *layers, final = self.layers
        lows = self._first(low, *self.low_channels[:-1])
        for layer, part in zip(layers, lows, strict=False):
            x = layer(x, part)
        y = final(x, lows[-1])
        merged = self.merge(*self._first(last, self.low_channels[-1]))
        out = torch.cat((y, resize(merged, y.shape[2:])), 1)
        before = (x,) if self.down else ()
        if self.transition is None:
            return (*before, out)
        return (*before, y, self.transition(out))

    def _first(self, x: Tensor, *channels: int) -> Sequence[Tensor]:
        """The first channels of a map, so many of each."""
        if channels == (x.shape[1],):
            return (x,)
        if self.training and with_own_backward():
            parts: tuple[Tensor, ...] = _Prefixes.apply(x, channels)  # type: ignore[no-untyped-call]
            return parts
        return [x if count == x.shape[1] else x[:, :count] for count in channels]


def _transition(channels: int, reduction: float | None) -> tuple[ConvNormAct | None, int]:
    if reduction is None:
        return None, channels
    kept = share_of(channels, reduction)
    return ConvNormAct(channels, kept, act=nn.ReLU), kept
