"""Blocks of mobile networks, as their authors and libraries write them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Squeezed(nn.Module):
    """Squeeze and excite, of convolutions or, as its authors wrote it, of matrices."""

    def __init__(self, channels: int, gate: type[nn.Module], *, matrices: bool = False) -> None:
        super().__init__()
        link: Callable[[int, int], nn.Module] = nn.Linear if matrices else partial(
            nn.Conv2d, kernel_size=1
        )  # fmt: skip
        self.matrices = matrices
        self.inner = nn.Sequential(link(channels, 3), nn.ReLU(), link(3, channels), gate())

    def forward(self, x: Tensor) -> Tensor:
        n, c, _, _ = x.shape
        if self.matrices:
            return x * self.inner(x.view(n, c, -1).mean(-1)).view(n, c, 1, 1).expand_as(x)
        return x * self.inner(F.adaptive_avg_pool2d(x, 1))


class MobileBlock(nn.Module):
    """Expand, filter, perhaps squeeze, project, and add: MobileNetV3's, EfficientNet's."""

    def __init__(
        self, channels: int, wide: int, act: type[nn.Module], squeeze: nn.Module, stride: int = 1
    ) -> None:
        super().__init__()
        self.add = stride == 1
        norms = [nn.BatchNorm2d(n) for n in (wide, wide, channels)]
        filtered = nn.Conv2d(wide, wide, 5, stride, 2, groups=wide)
        before = [nn.Conv2d(channels, wide, 1), norms[0], act(), filtered, norms[1], act()]
        self.run = nn.Sequential(*before, squeeze, nn.Conv2d(wide, channels, 1), norms[2])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.run(x)
        return x + out if self.add else out


class ShuffleUnit(nn.Module):
    """ShuffleNetV2's: half of the channels pass, the other half is filtered, then all mix."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        filtered = nn.Conv2d(half, half, 3, 1, 1, groups=half)
        mixed = nn.Sequential(nn.Conv2d(half, half, 1), nn.BatchNorm2d(half), nn.ReLU())
        self.run = nn.Sequential(filtered, nn.BatchNorm2d(half), mixed)

    def forward(self, x: Tensor) -> Tensor:
        passed, taken = x.chunk(2, dim=1)
        x = torch.cat((passed, self.run(taken)), dim=1)
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, -1, h, w)


class Ghost(nn.Module):
    """GhostNet's: some channels of a convolution, the others filters of these."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        half = -(-out // 2)
        self.out, self.first = out, nn.Sequential(nn.Conv2d(channels, half, 1), nn.PReLU(half))
        self.cheap = nn.Conv2d(half, half, 3, 1, 1, groups=half)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return torch.cat([x, self.cheap(x)], 1)[:, : self.out]


class Channels(nn.Module):
    """ECA-Net's gate: a convolution over the means of channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x.mean((2, 3)).view(x.shape[0], 1, -1)).sigmoid()
        return x * y.view(x.shape[0], -1, 1, 1).expand_as(x)


class Pixels(nn.Module):
    """A gate for every pixel, which all channels share, in other words too."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.Conv2d(channels, 1, 3, 1, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return self.gate(x).expand_as(x) * x + self.gate(x)


class Selective(nn.Module):
    """SKNet's: two filters, each channel taken from both by a softmax over the two."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.paths = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, 1, k, k, groups=channels) for k in (1, 2)
        )
        self.attn = nn.Sequential(
            nn.Conv2d(channels, 4, 1), nn.ReLU(), nn.Conv2d(4, 2 * channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        paths = torch.stack([path(x) for path in self.paths], dim=1)
        gates = self.attn(paths.sum(1).mean((2, 3), keepdim=True))
        n, c, h, w = gates.shape
        return (paths * gates.view(n, 2, c // 2, h, w).softmax(1)).sum(1)


class Split(nn.Module):
    """ResNeSt's: twice the channels in groups, each taken from both halves."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.groups, self.conv = groups, nn.Conv2d(channels, 2 * channels, 3, 1, 1, groups=2)
        inner = (nn.Conv2d(channels, 4, 1, groups=groups), nn.ReLU())
        self.attn = nn.Sequential(*inner, nn.Conv2d(4, 2 * channels, 1, groups=groups))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x).relu()
        n, c, h, w = x.shape
        halves = x.reshape(n, 2, c // 2, h, w)
        gates = self.attn(F.adaptive_avg_pool2d(halves.sum(dim=1), 1))
        gates = F.softmax(gates.view(n, self.groups, 2, -1).transpose(1, 2), dim=1)
        gates = gates.reshape(n, -1).view(n, -1, 1, 1)
        return (halves * gates.reshape(n, 2, c // 2, 1, 1)).sum(dim=1)


class Attended(nn.Module):
    """CBAM: gates for channels, then for pixels, each from means and maxima."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 3, 1, 1)
        self.inner = nn.Sequential(nn.Conv2d(channels, 3, 1), nn.ReLU(), nn.Conv2d(3, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
        x = x * sum(map(self.inner, pooled)).sigmoid()
        maps = x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)
        return x * self.conv(torch.cat(maps, dim=1)).sigmoid()


class Stacked(nn.Module):
    """Two halves in turns, of stacks that are summed, and Mish as it was first written."""

    def forward(self, x: Tensor) -> Tensor:
        one, two = x.chunk(2, 1)
        x = torch.stack([one, two], 2).flatten(1, 2)
        x = torch.stack([x, F.softplus(x, 2), x.tanh()]).mean(0)
        n, c, h, w = x.shape
        both = x.view(n, 2, c // 2, h, w).sum(1)
        return x * F.softplus(x).tanh() - torch.cat([both, both], 1)


class SameConv(nn.Conv2d):
    """TensorFlow's: as much padding as the stride asks for, more of it below and to the right."""

    def forward(self, x: Tensor) -> Tensor:
        sizes = zip(x.shape[-2:], self.kernel_size, self.stride, strict=True)
        down, across = (max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in sizes)
        x = F.pad(x, [across // 2, across - across // 2, down // 2, down - down // 2])
        return self._conv_forward(x, self.weight, self.bias)


class InPython(nn.Module):
    """What is written without modules."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.rand(channels, 1, 1))
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = sum([x, F.leaky_relu(x, 0.2)]) - 0.5 * x
        y = F.gelu(y) * F.relu6(x + 3) / 6
        lines = F.interpolate(y.mean(2, keepdim=True), size=y.shape[2:], mode="nearest")
        y = self.norm(y * torch.sigmoid(y.mean([3], keepdim=True)) + lines)
        return torch.cat([self.share * y, (1 - self.share) * F.relu(-y).clamp(max=1.5)], dim=-3)


def mobile_blocks() -> dict[str, list[nn.Module]]:
    """What follows a stem of 6 channels, by family."""
    swish, sigmoid = nn.Hardswish, nn.Sigmoid
    plain = [MobileBlock(6, 9, nn.SiLU, nn.Identity(), stride) for stride in (1, 2)]
    efficient = MobileBlock(6, 14, nn.SiLU, Squeezed(14, sigmoid, matrices=True), 2)
    grouped = nn.Conv2d(6, 12, 3, 2, 1, groups=3)
    apart = nn.Conv2d(12, 24, 3, padding=2, dilation=2, groups=12)
    return {
        "mobilenetv3": [MobileBlock(6, 14, swish, Squeezed(14, nn.Hardsigmoid)), *plain],
        "efficientnet": [efficient, nn.Conv2d(6, 6, (1, 3), padding="same")],
        "shufflenetv2": [ShuffleUnit(6), ShuffleUnit(6)],
        "regnet": [grouped, nn.BatchNorm2d(12), nn.ReLU(), apart, nn.Conv2d(24, 8, 1)],
        "ghostnet": [Ghost(6, 9), nn.BatchNorm2d(9), Ghost(9, 10)],
        "tensorflow": [SameConv(6, 6, 3, 2, groups=6), nn.ReLU6(), SameConv(6, 5, 3, 2)],
        "python": [InPython(6), nn.ChannelShuffle(3)],
        "gates": [Channels(), nn.Conv2d(6, 8, 1), Pixels(8), nn.Conv2d(8, 6, 1), Stacked()],
        "chosen": [Selective(6), Split(6, 2), nn.Conv2d(6, 5, 1), Attended(5)],
        "upwards": [nn.Upsample(scale_factor=2), nn.Conv2d(6, 4, 1), nn.Upsample((25, 13))],
    }
