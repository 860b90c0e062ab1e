"""Convolution with batch norm and activation, behind it or before it; blocks of MobileNets."""

from __future__ import annotations

from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn

from exeunt.ops.norm import norm_act


def make_divisible(value: float, divisor: int = 8) -> int:
    """Nearest multiple of `divisor`, never more than 10 % below `value` (MobileNet's rule)."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


class SameConv2d(nn.Conv2d):
    """A convolution that pads as TensorFlow's "same" does: only as much as the last window needs.

    Maps (N, C, H, W) to (N, C', H/s, W/s), rounded up. Where the zeros do not come in pairs, as
    with stride 2 at even sizes, the odd one goes below and to the right.
    """

    def forward(self, x: Tensor) -> Tensor:
        before, after = [], []
        for size, kernel, stride in zip(x.shape[2:], self.kernel_size, self.stride, strict=True):
            zeros = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            before.append(zeros // 2)
            after.append(zeros - zeros // 2)
        if before != after:
            x = F.pad(x, (before[1], after[1], before[0], after[0]))
            before = [0, 0]
        return F.conv2d(x, self.weight, self.bias, self.stride, before, 1, self.groups)


class _Normed(nn.Sequential):
    """Parts one after the other; a batch norm goes together with the activation behind it."""

    def forward(self, x: Tensor) -> Tensor:
        parts = [*self]
        while parts:
            part = parts.pop(0)
            if isinstance(part, nn.BatchNorm2d):
                bounded = bool(parts) and isinstance(parts[0], (nn.ReLU, nn.ReLU6))
                x = norm_act(x, part, parts.pop(0) if bounded else None)
            else:
                x = part(x)
        return x


class ConvNormAct(_Normed):
    """Convolution, without bias unless asked for, batch norm, activation.

    Maps (N, C, H, W) to (N, C', H/s, W/s), rounded up. Parts are named `conv`, `norm` and, unless
    it is None, `act`. With `same` it is a `SameConv2d`; `eps` is that of the batch norm.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        groups: int = 1,
        act: type[nn.Module] | None = nn.ReLU6,
        bias: bool = False,
        same: bool = False,
        eps: float = 1e-5,
    ) -> None:
        parts: list[tuple[str, nn.Module]] = [
            (
                "conv",
                (SameConv2d if same else nn.Conv2d)(
                    in_channels,
                    out_channels,
                    kernel_size,
                    stride,
                    padding=kernel_size // 2,
                    groups=groups,
                    bias=bias,
                ),
            ),
            ("norm", nn.BatchNorm2d(out_channels, eps)),
        ]
        if act is not None:
            parts.append(("act", act(inplace=True)))
        super().__init__(OrderedDict(parts))


class NormAct(_Normed):
    """Batch norm and ReLU, named `norm` and `act`: what ends a pre-activation net."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            OrderedDict(norm=nn.BatchNorm2d(channels), act=nn.ReLU(inplace=True)),
        )


class NormActConv(_Normed):
    """Batch norm, ReLU, convolution without bias, named `norm`, `act` and `conv`.

    Maps (N, C, H, W) to (N, C', H, W).
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 1) -> None:
        padding = kernel_size // 2
        super().__init__(
            OrderedDict(
                norm=nn.BatchNorm2d(in_channels),
                act=nn.ReLU(inplace=True),
                conv=nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding, bias=False),
            )
        )


class BottleneckConv(nn.Sequential):
    """A 1x1 convolution that narrows, then a 3x3 one, each with batch norm and ReLU.

    The layer of MSDNet and RANet, `reduce` and `conv`: maps (N, C, H, W) to (N, C', H/s, W/s),
    rounded up, by way of `min(C, factor * C')` channels.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, factor: int = 4
    ) -> None:
        inner = min(in_channels, factor * out_channels)
        super().__init__(
            OrderedDict(
                reduce=ConvNormAct(in_channels, inner, act=nn.ReLU),
                conv=ConvNormAct(inner, out_channels, 3, stride, act=nn.ReLU),
            )
        )


class DepthwiseSeparable(nn.Sequential):
    """A depthwise 3x3 convolution, then a 1x1 one, each with batch norm and ReLU (MobileNetV1).

    Maps (N, C, H, W) to (N, C', H/s, W/s), rounded up. Parts are named `depthwise` and `pointwise`.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        depthwise = ConvNormAct(in_channels, in_channels, 3, stride, in_channels, act=nn.ReLU)
        pointwise = ConvNormAct(in_channels, out_channels, act=nn.ReLU)
        super().__init__(OrderedDict(depthwise=depthwise, pointwise=pointwise))


class InvertedResidual(nn.Module):
    """Expand, filter depthwise, project back (MobileNetV2, Sandler et al. 2018).

    The input is added to the output where stride and width allow. `expand` is absent when the
    expansion is 1. `same` and `eps` are as `ConvNormAct` has them.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        expansion: int,
        kernel_size: int = 3,
        same: bool = False,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.stride = stride
        hidden = in_channels * expansion
        self.expand: nn.Module = nn.Identity()
        if expansion != 1:
            self.expand = ConvNormAct(in_channels, hidden, eps=eps)
        self.depthwise = ConvNormAct(
            hidden, hidden, kernel_size, stride, groups=hidden, same=same, eps=eps
        )
        self.project = ConvNormAct(hidden, out_channels, act=None, eps=eps)
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + out if self.residual else out


def init_conv_net(net: nn.Module) -> None:
    """Kaiming-normal (fan out) convolutions, batch norm 1 and 0, linear layers N(0, 0.01) and 0.

    Recurrent operators keep the initialisation of their own parameters.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
