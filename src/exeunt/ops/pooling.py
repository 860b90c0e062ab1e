"""Learned mixtures of maximum and average pooling.

Windows start every `stride` lines from the first on. The last one may reach over the edge of the
map, and what lies outside takes no part: H' = ceil((H - kernel_size) / stride) + 1, torch's
`ceil_mode`. All map (N, C, H, W) to (N, C, H', W').
"""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exeunt.errors import ExeuntError, one_of
from exeunt.ops.sizes import require_map, require_positive

BOUNDS: dict[str, type[nn.Module]] = {"sigmoid": nn.Sigmoid, "softplus": nn.Softplus}


class _Pool2d(nn.Module):
    """A pooling window, square, that moves by at most its own size."""

    def __init__(self, kernel_size: int, stride: int | None) -> None:
        super().__init__()
        name = type(self).__name__
        stride = kernel_size if stride is None else stride
        require_positive(name, kernel_size=kernel_size, stride=stride)
        if stride > kernel_size:
            raise ExeuntError(
                f"{name}: stride={stride} skips pixels between windows of {kernel_size}; "
                f"give at most {kernel_size}"
            )
        self.kernel_size = kernel_size
        self.stride = stride

    def overhang(self, x: Tensor) -> tuple[int, int, int, int]:
        """How far the last windows reach over the map, as `F.pad` takes it.

        Raises:
            ExeuntError: when the map is too small to hold a window.
        """
        height, width = x.shape[2:]
        least = self.kernel_size - self.stride + 1
        if min(height, width) < least:
            raise ExeuntError(
                f"{type(self).__name__}: a map of {height} x {width} is too small for windows of "
                f"{self.kernel_size} with stride {self.stride}; it needs at least {least} x {least}"
            )
        missing = [(self.kernel_size - length) % self.stride for length in (width, height)]
        return 0, missing[0], 0, missing[1]

    def mix(self, x: Tensor, share: Tensor) -> Tensor:
        """`share * maximum + (1 - share) * average` of every window."""
        largest = F.max_pool2d(x, self.kernel_size, self.stride, ceil_mode=True)
        average = F.avg_pool2d(x, self.kernel_size, self.stride, ceil_mode=True)
        return average + share * (largest - average)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}"


class MixedPool2d(_Pool2d):
    """`alpha * maximum + (1 - alpha) * average` (Lee, Gallagher, Tu 2016, equation 1).

    `alpha = sigmoid(logit)` stays between 0 and 1 and starts at one half.

    Args:
        kernel_size: pixels of a window, H and W.
        stride: distance of neighbouring windows; as far as they are large unless given.
        channels: C for one alpha per channel; one for the layer unless given.

    Raises:
        ExeuntError: for sizes below 1, or a stride above the window.
    """

    def __init__(
        self, kernel_size: int, stride: int | None = None, channels: int | None = None
    ) -> None:
        super().__init__(kernel_size, stride)
        if channels is not None:
            require_positive("MixedPool2d", channels=channels)
        self.logit = nn.Parameter(torch.zeros(1 if channels is None else channels))

    @property
    def alpha(self) -> Tensor:
        """Share of the maximum: (1,) or (C,)."""
        return self.logit.sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        self.overhang(x)
        return self.mix(x, self.alpha[:, None, None])


class GatedPool2d(_Pool2d):
    """`s * maximum + (1 - s) * average`, `s = sigmoid(<mask, window>)` (Lee et al. 2016, eq. 2).

    The gate answers to what the window holds. The mask starts at zero, the mean of both.

    Args:
        kernel_size: pixels of a window, H and W.
        stride: distance of neighbouring windows; as far as they are large unless given.
        channels: C for one mask per channel; one for the layer unless given.

    Raises:
        ExeuntError: for sizes below 1, or a stride above the window.
    """

    def __init__(
        self, kernel_size: int, stride: int | None = None, channels: int | None = None
    ) -> None:
        super().__init__(kernel_size, stride)
        if channels is not None:
            require_positive("GatedPool2d", channels=channels)
        self.mask = nn.Parameter(torch.zeros(channels or 1, 1, kernel_size, kernel_size))

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        mask = self.mask.expand(channels, -1, -1, -1)
        padded = F.pad(x, self.overhang(x))
        gate = F.conv2d(padded, mask, stride=self.stride, groups=channels).sigmoid()
        return self.mix(x, gate)


class GFGP2d(_Pool2d):
    """Global-feature-guided pooling of maximum entropy (Kobayashi, ICCV 2019).

    `sum_i x_i e^(l x_i) / sum_i e^(l x_i)` over a window: the average at l = 0, the maximum as l
    grows. A bottleneck on the averages of the whole map, `guide`, chooses l for every image and
    channel.

    Args:
        channels: C.
        kernel_size: pixels of a window, H and W.
        stride: distance of neighbouring windows; as far as they are large unless given.
        bound: what keeps l above 0, `"sigmoid"` (below 1, too) or `"softplus"`.

    Raises:
        ExeuntError: for sizes below 1, a stride above the window, or an unknown bound.
    """

    def __init__(
        self, channels: int, kernel_size: int, stride: int | None = None, bound: str = "sigmoid"
    ) -> None:
        super().__init__(kernel_size, stride)
        require_positive("GFGP2d", channels=channels)
        if bound not in BOUNDS:
            raise ExeuntError(f"GFGP2d: unknown bound {bound!r}; {one_of(bound, BOUNDS)}")
        self.channels = channels
        hidden = max(1, channels // 2)
        parts: list[tuple[str, nn.Module]] = [
            ("average", nn.AdaptiveAvgPool2d(1)),
            ("reduce", nn.Conv2d(channels, hidden, 1)),
            ("reduce_norm", nn.BatchNorm2d(hidden)),
            ("act", nn.ReLU(inplace=True)),
            ("expand", nn.Conv2d(hidden, channels, 1)),
            ("expand_norm", nn.BatchNorm2d(channels)),
            ("bound", BOUNDS[bound]()),
        ]
        self.guide = nn.Sequential(OrderedDict(parts))

    def forward(self, x: Tensor) -> Tensor:
        require_map("GFGP2d", x, self.channels)
        return self.pool(x, self.guide(x))

    def pool(self, x: Tensor, sharpness: Tensor) -> Tensor:
        """Pools with l given: `sharpness`, (N, C, 1, 1) or anything that broadcasts to it."""
        self.overhang(x)
        return sharp_pool(x, sharpness, self.kernel_size, self.stride)


def sharp_pool(x: Tensor, sharpness: Tensor, size: int, stride: int) -> Tensor:
    """What `GFGP2d` makes of every window, with l given.

    Args:
        x: maps (N, C, H, W).
        sharpness: l, (N, C, 1, 1) or anything that broadcasts to it.
        size: pixels of a window.
        stride: distance of neighbouring windows.
    """
    over = (0, (size - x.shape[3]) % stride, 0, (size - x.shape[2]) % stride)

    def windows(maps: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H', W', size**2)."""
        return maps.unfold(2, size, stride).unfold(3, size, stride).flatten(4)

    values = windows(F.pad(x, over))
    exponents = sharpness[..., None] * values
    if any(over):
        inside = windows(F.pad(x.new_ones(1, 1, *x.shape[2:]), over))
        exponents = exponents.masked_fill(inside == 0, -torch.inf)
    return (exponents.softmax(-1) * values).sum(-1)
