"""Plain operators in integers: what the C kernels compute, to the bit.

Tensors are int32 here, (N, C, H, W) or (N, C), and hold int8 numbers, or int16 for scores. Sums of
products are formed in floating point, whose convolutions are fast, and in a type that holds every
integer that can arise: then any order of summation is exact.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from exeunt.graph.operator import Operator, Pair
from exeunt.graph.operators import Resize, SharpPool, convolved
from exeunt.quantize.halvings import HALVINGS, ONE_BITS
from exeunt.quantize.scale import INT8, Factor, Scale

RESIZE_BITS = 8

_SPAN = INT8[1] - INT8[0]
_FLOAT32_WHOLE = 1 << 24
_OUTSIDE = -(1 << 16)
_SHARE_BITS = 15


class IntegerOperator(ABC):
    """What a node does with integers."""

    @abstractmethod
    def run(self, inputs: Sequence[Tensor]) -> Tensor:
        """Computes the output of a batch, int32."""


@dataclass(frozen=True)
class View(IntegerOperator):
    """What moves numbers and changes none."""

    operator: Operator

    def run(self, inputs: Sequence[Tensor]) -> Tensor:
        return self.operator.run(inputs, {})


@dataclass(frozen=True)
class Weighted(IntegerOperator):
    """What sums up products with weights.

    Attributes:
        weight: int8 in int64, symmetric, one scale per output channel.
        bias: at the scale of the sums, with -zero of the input times the sum of the weights.
        factor: from sums to the output, by channel.
        zero_in: the input's integer for 0.
        scale: of the output.
        low, high: the limits that the activation sets.
        table: of a function behind that, which kernels carry out with it; None for none.
    """

    weight: Tensor
    bias: Tensor
    factor: Factor
    zero_in: int
    scale: Scale
    low: int
    high: int
    table: Tensor | None = field(default=None, kw_only=True)

    @cached_property
    def _summed(self) -> tuple[Tensor, Tensor]:
        """Weights and biases for inputs less `zero_in`, in a type that holds their sums exactly."""
        rows = self.weight.flatten(1)
        bias = self.bias + self.zero_in * rows.sum(1)
        largest = int((rows.abs().sum(1) * _SPAN + bias.abs()).max())
        kind = torch.float32 if largest <= _FLOAT32_WHOLE else torch.float64
        return self.weight.to(kind), bias.to(kind)

    def run(self, inputs: Sequence[Tensor]) -> Tensor:
        weight, bias = self._summed
        sums = self._sums((inputs[0] - self.zero_in).to(weight.dtype), weight, bias)
        scaled = self.factor.apply(sums).add_(self.scale.zero)
        out = scaled.clamp_(self.low, self.high).int()
        return out if self.table is None else looked_up(self.table, out - INT8[0])

    @abstractmethod
    def _sums(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Sums of products, of whole numbers."""


@dataclass(frozen=True)
class IntegerConv(Weighted):
    """A convolution; beside the map lies `zero_in`."""

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int
    trail: Pair | None = None

    def _sums(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        with torch.backends.nnpack.flags(enabled=False):  # its transforms round
            if x.dim() == 2:  # a vector, scaled by channel
                return convolved(self, x[..., None, None], weight, bias)[..., 0, 0]
            return convolved(self, x, weight, bias)


@dataclass(frozen=True)
class IntegerLinear(Weighted):
    """A matrix."""

    def _sums(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.linear(x, weight, bias)


@dataclass(frozen=True)
class IntegerSum(IntegerOperator):
    """`(a - zero_a) * by_a + (b - zero_b) * by_b`, in 2**-shift, halves up."""

    by_a: int
    by_b: int
    shift: int
    zero_a: int
    zero_b: int
    scale: Scale
    low: int
    high: int

    def run(self, inputs: Sequence[Tensor]) -> Tensor:
        a, b = inputs
        total = (a - self.zero_a) * self.by_a + (b - self.zero_b) * self.by_b
        total = (total + (1 << (self.shift - 1))) >> self.shift
        return (total + self.scale.zero).clamp(self.low, self.high)


@dataclass(frozen=True)
class IntegerProduct(IntegerOperator):
    """`(a - zero_a) * (b - zero_b)`, in steps of the output."""

    factor: Factor
    zero_a: int
    zero_b: int
    scale: Scale
    low: int
    high: int

    def run(self, inputs: Sequence[Tensor]) -> Tensor:
        a, b = inputs
        scaled = self.factor.apply((a - self.zero_a) * (b - self.zero_b)) + self.scale.zero
        return scaled.clamp(self.low, self.high).int()


@dataclass(frozen=True)
class IntegerSlope(IntegerOperator):
    """A parametric ReLU: a factor for what is above 0, one for each channel for what is below."""

    above: Factor
    below: Factor
    zero_in: int
    scale: Scale

    def run(self, inputs: Sequence[Tensor]) -> Tensor:
        x = inputs[0] - self.zero_in
        scaled = torch.where(x < 0, self.below.apply(x), self.above.apply(x)) + self.scale.zero
        return scaled.clamp(*self.scale.limits).int()


@dataclass(frozen=True)
class IntegerAverage(IntegerOperator):
    """The mean of each channel, perhaps as a map of one pixel."""

    factor: Factor
    zero_in: int
    scale: Scale
    keep: bool = False

    def run(self, inputs: Sequence[Tensor]) -> Tensor:
        x = inputs[0] - self.zero_in
        sums = x.sum((2, 3), dtype=torch.int32, keepdim=self.keep)
        scaled = self.factor.apply(sums) + self.scale.zero
        return scaled.clamp(*self.scale.limits).int()


@dataclass(frozen=True)
class IntegerPool(IntegerOperator):
    """The maximum or the average of every window, at the input's scale.

    Attributes:
        zero: the integer for 0, which padding counts as in an average.
    """

    of: str
    kernel: Pair
    stride: Pair
    padding: Pair
    ceil: bool
    count_padding: bool
    zero: int

    def run(self, inputs: Sequence[Tensor]) -> Tensor:
        x = inputs[0].float()
        if self.of == "max":
            pooled = F.max_pool2d(x, self.kernel, self.stride, self.padding, ceil_mode=self.ceil)
            return pooled.int()
        shape = (self.kernel, self.stride, self.padding, self.ceil, self.count_padding)
        ones = torch.ones_like(x[:1, :1])
        area = math.prod(self.kernel)
        # `divisor_override` gives sums; the means of ones tell how many are counted
        sums = F.avg_pool2d(x - self.zero, *shape, divisor_override=1).int()
        inside = F.avg_pool2d(ones, *shape, divisor_override=1)
        share = F.avg_pool2d(ones, *shape)
        count = (inside / share.clamp(min=1 / (4 * area))).round().int()
        return divided(sums, count) + self.zero


@dataclass(frozen=True)
class IntegerSharpPool(IntegerOperator):
    """`SharpPool` at the map's scale: `largest - mean of (largest - x)`, halves of that up.

    Attributes:
        operator: the windows.
        softness: of a step of the map times one of the sharpness, in the exponent of 2, in 2**-24.
        zero: the sharpness' integer for 0.
    """

    operator: SharpPool
    softness: int
    zero: int

    def run(self, inputs: Sequence[Tensor]) -> Tensor:
        size, stride = self.operator.size, self.operator.stride
        x = inputs[0].long()
        over = (0, (size - x.shape[3]) % stride, 0, (size - x.shape[2]) % stride)
        windows = F.pad(x, over, value=_OUTSIDE).unfold(2, size, stride).unfold(3, size, stride)
        windows = windows.flatten(4)
        largest = windows.amax(4, keepdim=True)
        below = (largest - windows).clamp_(max=_SPAN)
        sharpness = (inputs[1].long() - self.zero).clamp_(min=0) * self.softness
        halvings = (below * sharpness[..., None]) >> 16
        whole = (halvings >> 8).clamp_(max=_SHARE_BITS + 1)
        shares = HALVINGS[halvings & 255] >> (ONE_BITS - _SHARE_BITS + whole)
        shares = torch.where(windows == _OUTSIDE, 0, shares)
        total = shares.sum(4)
        mean = ((shares * below).sum(4) + total // 2) // total
        return (largest[..., 0] - mean).int()


@dataclass(frozen=True)
class IntegerGridPool(IntegerOperator):
    """The maximum or the average of each cell of a grid, at the input's scale."""

    of: str
    grid: Pair
    zero: int

    def run(self, inputs: Sequence[Tensor]) -> Tensor:
        x = inputs[0]
        height, width = x.shape[2:]
        rows = []
        for top, bottom in cells(height, self.grid[0]):
            row = []
            for left, right in cells(width, self.grid[1]):
                cell = x[:, :, top:bottom, left:right]
                if self.of == "max":
                    row.append(cell.amax((2, 3)))
                else:
                    count = torch.tensor((bottom - top) * (right - left))
                    row.append(divided((cell - self.zero).sum((2, 3)), count) + self.zero)
            rows.append(torch.stack(row, -1))
        return torch.stack(rows, -2).int()


@dataclass(frozen=True)
class IntegerChannelPool(IntegerOperator):
    """The maximum or the average of all channels of a pixel, at the input's scale."""

    of: str
    zero: int

    def run(self, inputs: Sequence[Tensor]) -> Tensor:
        x = inputs[0]
        if self.of == "max":
            return x.amax(1, keepdim=True)
        sums = (x - self.zero).sum(1, keepdim=True)
        return (divided(sums, torch.tensor(x.shape[1])) + self.zero).int()


@dataclass(frozen=True)
class IntegerPad(IntegerOperator):
    """Zeros around a map."""

    operator: Operator
    zero: int

    def run(self, inputs: Sequence[Tensor]) -> Tensor:
        return self.operator.run([inputs[0] - self.zero], {}) + self.zero


@dataclass(frozen=True)
class IntegerLookup(IntegerOperator):
    """An activation, as a table of all 256 results."""

    table: Tensor

    def run(self, inputs: Sequence[Tensor]) -> Tensor:
        return looked_up(self.table, inputs[0] - INT8[0])


@dataclass(frozen=True)
class IntegerResize(IntegerOperator):
    """Bilinear interpolation at the input's scale, with weights in 256ths, rows first."""

    operator: Resize

    def run(self, inputs: Sequence[Tensor]) -> Tensor:
        x = inputs[0]
        down = places(x.shape[2], self.operator.size[0], self.operator.align_corners)
        across = places(x.shape[3], self.operator.size[1], self.operator.align_corners)
        first, second, share = (torch.tensor(v, dtype=torch.int32) for v in zip(*down, strict=True))
        one = 1 << RESIZE_BITS
        column = share.view(-1, 1)
        x = x[:, :, first] * (one - column) + x[:, :, second] * column
        first, second, share = (
            torch.tensor(v, dtype=torch.int32) for v in zip(*across, strict=True)
        )
        x = x[..., first] * (one - share) + x[..., second] * share
        return (x + (1 << (2 * RESIZE_BITS - 1))) >> (2 * RESIZE_BITS)


def places(size: int, out: int, align_corners: bool) -> list[tuple[int, int, int]]:
    """For each output line the two input lines that it lies between, and the share of the second
    in 256ths.
    """
    resize = Resize((out, out), align_corners)
    found = []
    for line in range(out):
        at = resize.position(size, line)
        first = int(at)
        share = round((at - first) * (1 << RESIZE_BITS))
        found.append((first, min(first + 1, size - 1), share))
    return found


def cells(size: int, count: int) -> list[tuple[int, int]]:
    """First line and end of each of `count` cells over `size` lines, as adaptive pooling has it."""
    return [(k * size // count, -(-(k + 1) * size // count)) for k in range(count)]


def looked_up(table: Tensor, places: Tensor) -> Tensor:
    """Entries of a table, int32, in the shape of `places`."""
    return table.int().index_select(0, places.flatten()).view(places.shape)


def divided(sums: Tensor, count: Tensor) -> Tensor:
    """The nearest integer to `sums / count`; halves are rounded up."""
    return torch.div(2 * sums + count, 2 * count, rounding_mode="floor")
