"""The plain operators that every network is lowered to.

Shapes are those of one image, without the batch: (C, H, W) for maps and (C,) for vectors. An
operator says what it computes (`run`, on batches) and what it costs (`macs`); its weights are
constants of the node that it belongs to.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exeunt.errors import ExeuntError
from exeunt.mode import evaluating
from exeunt.ops.macs import MacCount, count_macs

Shape = tuple[int, ...]
Constants = Mapping[str, Tensor]
Pair = tuple[int, int]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "silu": F.silu,
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
}


@dataclass(frozen=True)
class Operator(ABC):
    """What a node does with its inputs."""

    @property
    def kind(self) -> str:
        """Its name."""
        return type(self).__name__

    @property
    def settings(self) -> dict[str, Any]:
        """All that tells it from others of its kind, ready for JSON."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.repr}

    @abstractmethod
    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        """Computes the output of a batch: inputs (N, *shape), output (N, *shape)."""

    def macs(self, inputs: Sequence[Shape], output: Shape) -> int:
        """Multiply-adds for one image; 0 for what has no convolution, matrix or recurrent cell."""
        return 0


@dataclass(frozen=True)
class Activated(Operator):
    """An operator that may end in an activation, one of `ACTIVATIONS`."""

    act: str | None = field(default=None, kw_only=True)

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        out = self.linear(inputs, constants)
        return out if self.act is None else ACTIVATIONS[self.act](out)

    @abstractmethod
    def linear(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        """What comes before the activation."""


@dataclass(frozen=True)
class Conv(Activated):
    """Convolution with constants `weight` (C', C / groups, *kernel) and perhaps `bias` (C')."""

    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    def linear(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        return F.conv2d(
            inputs[0],
            constants["weight"],
            constants.get("bias"),
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
        )

    def macs(self, inputs: Sequence[Shape], output: Shape) -> int:
        return math.prod(output) * inputs[0][0] // self.groups * math.prod(self.kernel)


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

    def linear(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        shape = (-1,) + (1,) * (inputs[0].dim() - 2)
        scaled: Tensor = inputs[0] * constants["scale"].view(shape)
        return scaled + constants["shift"].view(shape)


@dataclass(frozen=True)
class Add(Activated):
    """The sum of two tensors of one shape."""

    def linear(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        return inputs[0] + inputs[1]


@dataclass(frozen=True)
class Activation(Operator):
    """An activation that nothing before it could take in."""

    act: str

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        return ACTIVATIONS[self.act](inputs[0])


@dataclass(frozen=True)
class Concat(Operator):
    """Tensors behind each other, by channels."""

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        return torch.cat(list(inputs), 1)


@dataclass(frozen=True)
class Slice(Operator):
    """Every `step`-th entry of one axis (0: channels) from `start` up to `stop`."""

    axis: int
    start: int
    stop: int
    step: int = 1

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        index = (slice(None),) * (self.axis + 1) + (slice(self.start, self.stop, self.step),)
        return inputs[0][index]


@dataclass(frozen=True)
class Pad(Operator):
    """Zeros around a map: before and after, by axis (channels, rows, columns)."""

    before: Shape
    after: Shape

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        pairs = list(zip(self.before, self.after, strict=True))
        return F.pad(inputs[0], [n for pair in reversed(pairs) for n in pair])


@dataclass(frozen=True)
class Pool(Operator):
    """The maximum or the average of every window."""

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


@dataclass(frozen=True)
class GridPool(Operator):
    """The maximum or the average of each cell of a grid laid over the map (adaptive pooling)."""

    of: Literal["max", "average"]
    grid: Pair

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        pool = F.adaptive_max_pool2d if self.of == "max" else F.adaptive_avg_pool2d
        pooled: Tensor = pool(inputs[0], self.grid)
        return pooled

    def under_way(self, height: int) -> int:
        """Rows of cells that one row, of so many, may lie in."""
        down = self.grid[0]
        cells = [(k * height // down, -(-(k + 1) * height // down)) for k in range(down)]
        return max(sum(top <= row < end for top, end in cells) for row in range(height))


@dataclass(frozen=True)
class GlobalAverage(Operator):
    """The mean of each channel, (C, H, W) to (C,)."""

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        return inputs[0].mean((2, 3))


@dataclass(frozen=True)
class Resize(Operator):
    """Bilinear interpolation to `size` (H, W)."""

    size: Pair
    align_corners: bool

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        return F.interpolate(
            inputs[0], size=self.size, mode="bilinear", align_corners=self.align_corners
        )


@dataclass(frozen=True)
class Mix(Operator):
    """`a + share * (b - a)` of two tensors, the constant `share` being one number."""

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        return torch.lerp(inputs[0], inputs[1], constants["share"])


@dataclass(frozen=True)
class Flatten(Operator):
    """A map as a vector, channels first; nothing moves."""

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        return inputs[0].flatten(1)


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

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        return self.finish(self.module(inputs[0]), constants)

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
