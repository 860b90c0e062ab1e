"""The plain operators that every network is lowered to.

Shapes are those of one image, without the batch: (C, H, W) for maps and (C,) for vectors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exeunt.errors import ExeuntError
from exeunt.graph.moves import Concat, Flatten, Lines, Pad, Shuffle, Slice, Unflatten
from exeunt.graph.operator import Constants, Operator, Pair, Shape
from exeunt.graph.pointwise import ACTIVATIONS, Activated, Activation, ParametricReLU
from exeunt.mode import evaluating
from exeunt.ops.macs import MacCount, count_macs
from exeunt.ops.pooling import sharp_pool
from exeunt.ops.renet import ReNet2d
from exeunt.ops.rex import ReX2d

__all__ = [
    "ACTIVATIONS",
    "Activated",
    "Activation",
    "Add",
    "Affine",
    "ChannelPool",
    "Composite",
    "Concat",
    "Constants",
    "Conv",
    "Flatten",
    "GlobalAverage",
    "GridPool",
    "Linear",
    "Lines",
    "Mix",
    "Multiply",
    "Opaque",
    "Operator",
    "Pad",
    "Pair",
    "Pairwise",
    "ParametricReLU",
    "Pool",
    "Resize",
    "Shape",
    "SharpPool",
    "Shuffle",
    "Slice",
    "Unflatten",
    "UnloweredStage",
]


def window(row: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> range:
    """The rows under a kernel, those of the padding too."""
    start = row * stride - padding
    return range(start, start + (kernel - 1) * dilation + 1)


@dataclass(frozen=True)
class Conv(Activated):
    """Convolution with constants `weight` (C', C / groups, *kernel) and perhaps `bias` (C').

    Attributes:
        padding: lines above the map and columns to the left, all of them zeros.
        trail: lines below and columns to the right; None for as many.
    """

    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    trail: Pair | None = None

    def linear(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        return convolved(self, inputs[0], constants["weight"], constants.get("bias"))

    def rows(self, height: int, out: int, row: int) -> range:
        return window(row, self.kernel[0], self.stride[0], self.padding[0], self.dilation[0])

    def macs(self, inputs: Sequence[Shape], output: Shape) -> int:
        return math.prod(output) * inputs[0][0] // self.groups * math.prod(self.kernel)


def convolved(conv: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`F.conv2d` with the settings of a convolution, zeros around the map."""
    padding = conv.padding
    if conv.trail is not None:
        (top, left), (bottom, right) = padding, conv.trail
        x, padding = F.pad(x, (left, right, top, bottom)), (0, 0)
    return F.conv2d(x, weight, bias, conv.stride, padding, conv.dilation, conv.groups)


@dataclass(frozen=True)
class Linear(Activated):
    """A matrix: constants `weight` (K, C) and perhaps `bias` (K)."""

    def linear(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        return F.linear(inputs[0], constants["weight"], constants.get("bias"))

    def macs(self, inputs: Sequence[Shape], output: Shape) -> int:
        return math.prod(output) * inputs[0][-1]


@dataclass(frozen=True)
class Affine(Activated):
    """`scale * x + shift` by channel: a batch norm that no convolution could take in."""

    by_pixel = in_place = True

    def linear(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        shape = (-1,) + (1,) * (inputs[0].dim() - 2)
        scaled: Tensor = inputs[0] * constants["scale"].view(shape)
        return scaled + constants["shift"].view(shape)


@dataclass(frozen=True)
class Pairwise(Activated):
    """Of two maps of one size, or of a map and another of one row, one column or one channel, that
    stands for all; or of two vectors.
    """

    by_pixel = in_place = True

    def rows(self, height: int, out: int, row: int) -> range:
        return range(1) if height == 1 else range(row, row + 1)


@dataclass(frozen=True)
class Add(Pairwise):
    """`a + alpha * b`."""

    alpha: float = field(default=1.0, kw_only=True)

    def linear(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        return torch.add(inputs[0], inputs[1], alpha=self.alpha)


@dataclass(frozen=True)
class Multiply(Pairwise):
    """`a * b`: of a map and a number for each of its channels, say."""

    def linear(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        return inputs[0] * inputs[1]


@dataclass(frozen=True)
class Pool(Operator):
    """The maximum or the average of every window."""

    keeps_scale = True
    of: Literal["max", "average"]
    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)
    ceil: bool = False
    count_padding: bool = True

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        if self.of == "max":
            return F.max_pool2d(
                inputs[0], self.kernel, self.stride, self.padding, ceil_mode=self.ceil
            )
        return F.avg_pool2d(
            inputs[0], self.kernel, self.stride, self.padding, self.ceil, self.count_padding
        )

    def rows(self, height: int, out: int, row: int) -> range:
        return window(row, self.kernel[0], self.stride[0], self.padding[0])


@dataclass(frozen=True)
class GridPool(Operator):
    """The maximum or the average of each cell of a grid laid over the map (adaptive pooling)."""

    keeps_scale = True
    of: Literal["max", "average"]
    grid: Pair

    @property
    def accumulates(self) -> bool:
        return True

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        pool = F.adaptive_max_pool2d if self.of == "max" else F.adaptive_avg_pool2d
        pooled: Tensor = pool(inputs[0], self.grid)
        return pooled

    def rows(self, height: int, out: int, row: int) -> range:
        return range(row * height // out, -(-(row + 1) * height // out))

    def under_way(self, height: int) -> int:
        """Rows of cells that one row, of so many, may lie in."""
        down = self.grid[0]
        cells = [(k * height // down, -(-(k + 1) * height // down)) for k in range(down)]
        return max(sum(top <= row < end for top, end in cells) for row in range(height))


@dataclass(frozen=True)
class ChannelPool(Operator):
    """The maximum or the average of all channels of a pixel, (C, H, W) to (1, H, W)."""

    by_pixel = keeps_scale = True
    of: Literal["max", "average"]

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        if self.of == "max":
            return inputs[0].amax(1, keepdim=True)
        return inputs[0].mean(1, keepdim=True)


@dataclass(frozen=True)
class SharpPool(Operator):
    """Of a map and a number l for each of its channels (C, 1, 1), for every square window:
    `sum x e^(l x) / sum e^(l x)`. The last windows may reach over the edge; what lies outside takes
    no part.
    """

    keeps_scale = True
    size: int
    stride: int

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        return sharp_pool(inputs[0], inputs[1], self.size, self.stride)

    def rows(self, height: int, out: int, row: int) -> range:
        top = row * self.stride if height > 1 else 0
        return range(top, min(top + self.size, height))


@dataclass(frozen=True)
class GlobalAverage(Operator):
    """The mean of each channel, (C, H, W) to (C,), or to (C, 1, 1) if it is to stay a map."""

    keep: bool = False

    @property
    def accumulates(self) -> bool:
        return True

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        return inputs[0].mean((2, 3), keepdim=self.keep)


@dataclass(frozen=True)
class Resize(Operator):
    """Bilinear interpolation to `size` (H, W)."""

    keeps_scale = True
    size: Pair
    align_corners: bool

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        return F.interpolate(
            inputs[0], size=self.size, mode="bilinear", align_corners=self.align_corners
        )

    def position(self, height: int, row: int) -> float:
        """Where among `height` rows a row of the resized map lies, perhaps between two of them."""
        out = self.size[0]
        if self.align_corners:
            return row * (height - 1) / (out - 1) if out > 1 else 0.0
        return max((row + 0.5) * height / out - 0.5, 0.0)

    def rows(self, height: int, out: int, row: int) -> range:
        at = self.position(height, row)
        return range(int(at), int(at) + (2 if at > int(at) else 1))


@dataclass(frozen=True)
class Mix(Operator):
    """`a + share * (b - a)` of two tensors, the constant `share` being one number."""

    by_pixel = in_place = True

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        return torch.lerp(inputs[0], inputs[1], constants["share"])


@dataclass(frozen=True)
class Composite(Operator):
    """A module that stays one operator: ReX, the other recurrent ones, pools that learn.

    Attributes:
        name: its class.
        module: itself, with its weights.
    """

    name: str
    module: nn.Module = field(repr=False, compare=False)

    @property
    def kind(self) -> str:
        return self.name

    @property
    def settings(self) -> dict[str, Any]:
        return {"module": self.module.extra_repr()}

    @property
    def accumulates(self) -> bool:
        return isinstance(self.module, ReX2d) or is_taken_in(self.module)

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        return self.finish(self.module(inputs[0]), constants)

    def rows(self, height: int, out: int, row: int) -> range:
        if not isinstance(self.module, ReX2d):
            return range(height)
        patches = self.module.window(0, height)
        last = min(row, patches.out - 1)  # the rows behind it repeat it
        return window(last, patches.size, patches.stride, patches.before)

    def finish(self, out: Tensor, constants: Constants) -> Tensor:
        """What becomes of the module's output (N, C, ...): nothing else."""
        return out

    def macs(self, inputs: Sequence[Shape], output: Shape) -> int:
        return self.count(inputs).total

    def count(self, inputs: Sequence[Shape], path: str = "") -> MacCount:
        """Multiply-adds by what is inside, at this path, and what of that has no formula."""
        weight = next(self.module.parameters())
        with torch.no_grad(), evaluating(self.module):
            return count_macs(self.module, weight.new_zeros(1, *inputs[0]), prefix=path)


def is_taken_in(module: nn.Module) -> bool:
    """Whether it is a ReNet that takes in rows as they come."""
    return isinstance(module, ReNet2d) and module.cell == "gru"


@dataclass(frozen=True)
class UnloweredStage(Operator):
    """A stage that has no plain form: one of its outputs, the logits being the first.

    Attributes:
        number: of the output.
        stage: itself, with its weights.
        cost: multiply-adds of all of it; of the logits alone, so that they count once.
    """

    number: int
    stage: nn.Module = field(repr=False, compare=False)
    cost: int = field(default=0, repr=False)

    def macs(self, inputs: Sequence[Shape], output: Shape) -> int:
        return self.cost

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        made: Tensor = self.stage(*inputs)[self.number]
        return made


@dataclass(frozen=True)
class Opaque(Operator):
    """What has no plain form: memory can be planned for it, and multiply-adds be counted.

    Attributes:
        target: the ATen operator.
        cost: its multiply-adds; None where there is no formula.
    """

    target: str
    cost: int | None = field(default=None, repr=False)

    @property
    def kind(self) -> str:
        return self.target

    def macs(self, inputs: Sequence[Shape], output: Shape) -> int:
        return self.cost or 0

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        raise ExeuntError(f"{self.target} has no plain operator, so it cannot be run here")
