"""Operators that move numbers and change none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from exeunt.graph.operator import ROWS, Constants, Operator, Pair, Shape


@dataclass(frozen=True)
class Move(Operator):
    """One of them."""

    keeps_scale = moves = True


@dataclass(frozen=True)
class Concat(Move):
    """Tensors behind each other, by channels."""

    by_pixel = True

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        return torch.cat(list(inputs), 1)


@dataclass(frozen=True)
class Slice(Move):
    """Every `step`-th entry of one axis (0: channels) from `start` up to `stop`."""

    axis: int
    start: int
    stop: int
    step: int = 1

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        index = (slice(None),) * (self.axis + 1) + (slice(self.start, self.stop, self.step),)
        return inputs[0][index]

    def rows(self, height: int, out: int, row: int) -> range:
        if self.axis != ROWS:
            return range(row, row + 1)
        start = self.start + row * self.step
        return range(start, start + 1)


@dataclass(frozen=True)
class Columns(Move):
    """Columns `start` up to `stop` of a map, read where they lie."""

    by_pixel = True
    start: int
    stop: int

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        return inputs[0][..., self.start : self.stop]


@dataclass(frozen=True)
class Beside(Move):
    """Bands of a map beside each other, by columns.

    Attributes:
        once_macs: multiply-adds of all that the bands are made by, if each column is made once.
    """

    by_pixel = True
    once_macs: int = 0

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        return torch.cat(list(inputs), 3)


@dataclass(frozen=True)
class Pad(Move):
    """Zeros around a map: before and after, by axis (channels, rows, columns)."""

    before: Shape
    after: Shape

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        pairs = list(zip(self.before, self.after, strict=True))
        return F.pad(inputs[0], [n for pair in reversed(pairs) for n in pair])

    def rows(self, height: int, out: int, row: int) -> range:
        return range(row - self.before[ROWS], row - self.before[ROWS] + 1)


@dataclass(frozen=True)
class Flatten(Move):
    """A map as a vector, channels first; nothing moves."""

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        return inputs[0].flatten(1)


@dataclass(frozen=True)
class Unflatten(Move):
    """A vector as a map (C, H, W), channel after channel; nothing moves for a map of one pixel.

    Attributes:
        size: (H, W).
    """

    size: Pair = (1, 1)

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        return inputs[0].reshape(len(inputs[0]), -1, *self.size)


@dataclass(frozen=True)
class Shuffle(Move):
    """Channels in another order, each once, or some of them: `order` says where each comes from."""

    by_pixel = True
    order: tuple[int, ...]

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        return inputs[0][:, list(self.order)]


@dataclass(frozen=True)
class Lines(Move):
    """Rows and columns where others lie: nearest resizing, say.

    Attributes:
        down: the row of the input that each row of the output is.
        across: likewise of columns.
    """

    down: tuple[int, ...]
    across: tuple[int, ...]

    def run(self, inputs: Sequence[Tensor], constants: Constants) -> Tensor:
        return inputs[0][:, :, list(self.down)][..., list(self.across)]

    def rows(self, height: int, out: int, row: int) -> range:
        return range(self.down[row], self.down[row] + 1)
