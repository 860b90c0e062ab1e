"""Plain operators in integers: what the C kernels compute, to the bit.

Tensors are int64 here, (N, C, H, W) or (N, C), and hold int8 numbers, or int16 for scores. Sums of
products are formed in float64, which holds all integers that can arise exactly.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from exeunt.graph.operators import Concat, Flatten, Operator, Pair, Resize, Slice
from exeunt.graph.rows import resize_position
from exeunt.quantize.scale import Factor, Scale

RESIZE_BITS = 8


class IntegerOperator(ABC):
    """What a node does with integers."""

    @abstractmethod
    def run(self, inputs: Sequence[Tensor]) -> Tensor:
        """Computes the output of a batch, int64."""


@dataclass(frozen=True)
class View(IntegerOperator):
    """What moves numbers and changes none."""

    operator: Concat | Flatten | Slice

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
    """

    weight: Tensor
    bias: Tensor
    factor: Factor
    zero_in: int
    scale: Scale
    low: int
    high: int

    def _scaled(self, sums: Tensor) -> Tensor:
        return (self.factor.apply(sums) + self.scale.zero).clamp(self.low, self.high).long()


@dataclass(frozen=True)
class IntegerConv(Weighted):
    """A convolution; beside the map lies `zero_in`."""

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int

    def run(self, inputs: Sequence[Tensor]) -> Tensor:
        down, across = self.padding
        x = F.pad(inputs[0].double(), (across, across, down, down), value=self.zero_in)
        weight = self.weight.double()
        sums = F.conv2d(x, weight, None, self.stride, 0, self.dilation, self.groups)
        return self._scaled(sums + self.bias.view(-1, 1, 1))


@dataclass(frozen=True)
class IntegerLinear(Weighted):
    """A matrix."""

    def run(self, inputs: Sequence[Tensor]) -> Tensor:
        sums = F.linear(inputs[0].double(), self.weight.double())
        return self._scaled(sums + self.bias)


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
class IntegerAverage(IntegerOperator):
    """The mean of each channel."""

    factor: Factor
    zero_in: int
    scale: Scale

    def run(self, inputs: Sequence[Tensor]) -> Tensor:
        sums = (inputs[0] - self.zero_in).sum((2, 3))
        scaled = self.factor.apply(sums) + self.scale.zero
        return scaled.clamp(*self.scale.limits).long()


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
        x = inputs[0].double()
        if self.of == "max":
            pooled = F.max_pool2d(x, self.kernel, self.stride, self.padding, ceil_mode=self.ceil)
            return pooled.long()
        shape = (self.kernel, self.stride, self.padding, self.ceil, self.count_padding)
        ones = torch.ones_like(x[:1, :1])
        area = math.prod(self.kernel)
        # `divisor_override` gives sums; the means of ones tell how many are counted
        sums = F.avg_pool2d(x - self.zero, *shape, divisor_override=1).long()
        inside = F.avg_pool2d(ones, *shape, divisor_override=1)
        share = F.avg_pool2d(ones, *shape)
        count = (inside / share.clamp(min=1 / (4 * area))).round().long()
        return divided(sums, count) + self.zero


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
        return torch.stack(rows, -2)


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
        return self.table[inputs[0] + 128]


@dataclass(frozen=True)
class IntegerResize(IntegerOperator):
    """Bilinear interpolation at the input's scale, with weights in 256ths, rows first."""

    operator: Resize

    def run(self, inputs: Sequence[Tensor]) -> Tensor:
        x = inputs[0]
        down = places(x.shape[2], self.operator.size[0], self.operator.align_corners)
        across = places(x.shape[3], self.operator.size[1], self.operator.align_corners)
        first, second, share = (torch.tensor(v) for v in zip(*down, strict=True))
        one = 1 << RESIZE_BITS
        column = share.view(-1, 1)
        x = x[:, :, first] * (one - column) + x[:, :, second] * column
        first, second, share = (torch.tensor(v) for v in zip(*across, strict=True))
        x = x[..., first] * (one - share) + x[..., second] * share
        return (x + (1 << (2 * RESIZE_BITS - 1))) >> (2 * RESIZE_BITS)


def places(size: int, out: int, align_corners: bool) -> list[tuple[int, int, int]]:
    """For each output line the two input lines that it lies between, and the share of the second
    in 256ths.
    """
    resize = Resize((out, out), align_corners)
    found = []
    for line in range(out):
        at = resize_position(resize, size, line)
        first = int(at)
        share = round((at - first) * (1 << RESIZE_BITS))
        found.append((first, min(first + 1, size - 1), share))
    return found


def cells(size: int, count: int) -> list[tuple[int, int]]:
    """First line and end of each of `count` cells over `size` lines, as adaptive pooling has it."""
    return [(k * size // count, -(-(k + 1) * size // count)) for k in range(count)]


def divided(sums: Tensor, count: Tensor) -> Tensor:
    """The nearest integer to `sums / count`; halves are rounded up."""
    return torch.div(2 * sums + count, 2 * count, rounding_mode="floor")
