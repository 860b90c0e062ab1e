"""Where the numbers of a tensor come from: what views, transpositions and slices do, followed.

Any sequence of them is carried out on the positions of the numbers. What comes out of it has a
plain form where it is a map again, some channels, rows and columns of the one before, or a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from exeunt.graph.moves import Flatten, Lines, Move, Shuffle, Slice, Unflatten
from exeunt.graph.operator import Shape

aten = torch.ops.aten

REARRANGING = {
    aten.view.default,
    aten.reshape.default,
    aten.flatten.using_ints,
    aten.unflatten.int,
    aten.unsqueeze.default,
    aten.squeeze.dim,
    aten.squeeze.dims,
    aten.transpose.int,
    aten.swapaxes.default,
    aten.movedim.int,
    aten.movedim.intlist,
    aten.mT.default,
    aten.permute.default,
    aten.select.int,
    aten.slice.Tensor,
    aten.narrow.default,
    aten.chunk.default,
    aten.split.Tensor,
    aten.split_with_sizes.default,
    aten.unbind.int,
    aten.flip.default,
    aten.roll.default,
    aten.channel_shuffle.default,
    aten.pixel_shuffle.default,
    aten.pixel_unshuffle.default,
    aten.contiguous.default,
    aten.clone.default,
}
"""Calls that move the numbers of their first argument, and do nothing else."""


@dataclass(frozen=True)
class Arrangement:
    """Numbers of a tensor in another order or shape.

    Attributes:
        source: name of the tensor.
        shape: of it.
        index: which of its numbers each is, (1, ...); several where a call gives several tensors.
    """

    source: str
    shape: Shape
    index: Tensor | Sequence[Tensor]

    @classmethod
    def of(cls, source: str, shape: Shape) -> Arrangement:
        """A tensor as it is."""
        return cls(source, shape, torch.arange(_size(shape)).view(1, *shape))

    def after(self, node: fx.Node) -> Arrangement:
        """What a call of `REARRANGING` makes of it."""
        made = node.target(self.index, *node.args[1:], **node.kwargs)  # type: ignore[operator]
        return Arrangement(self.source, self.shape, made)

    def part(self, number: int) -> Arrangement:
        """One of several."""
        return Arrangement(self.source, self.shape, self.index[number])

    @property
    def keeps_order(self) -> bool:
        """Whether it is all numbers of the source, in their order."""
        if not isinstance(self.index, Tensor) or self.index.numel() != _size(self.shape):
            return False
        return bool((self.index.flatten() == torch.arange(self.index.numel())).all())

    def placed(self, index: Tensor) -> Arrangement | None:
        """What lies, in another order of the source's numbers, where `index` (1, ...) of the shape
        of this has it; None unless this has all numbers of the source, once.
        """
        own = self.index
        if not isinstance(own, Tensor) or own.shape != index.shape:
            return None
        if not torch.equal(own.flatten().sort().values, torch.arange(_size(self.shape))):
            return None
        found = torch.empty_like(index).flatten()
        found[own.flatten()] = index.flatten()
        return Arrangement(self.source, self.shape, found.view(1, *self.shape))

    def other_of_two(self, axis: int) -> Arrangement | None:
        """Of each number of the source the other of the two that lie along an axis."""
        own = self.index
        if not isinstance(own, Tensor) or own.shape[axis] != 2:
            return None
        return self.placed(own.flip(axis))

    def gate(self, other: Arrangement) -> Arrangement | None:
        """What multiplies each number of the source where this is multiplied by another, whose axes
        of length 1 stand for all: a map, or a number for each channel, row or column.
        """
        if not isinstance(self.index, Tensor) or not isinstance(other.index, Tensor):
            return None
        if self.index.dim() != other.index.dim() or len(self.shape) != 3:
            return None
        if any(
            theirs not in (1, own)
            for own, theirs in zip(self.index.shape, other.index.shape, strict=True)
        ):
            return None
        placed = self.placed(other.index.expand(self.index.shape))
        if placed is None:
            return None
        index = placed.index
        assert isinstance(index, Tensor)
        for axis in range(1, 4):
            first = index.narrow(axis, 0, 1)
            if torch.equal(first.expand(index.shape), index):
                index = first
        return Arrangement(other.source, other.shape, index)

    def plain(self) -> list[Move] | None:
        """Operators that make it, one after the other; None where none do."""
        if not isinstance(self.index, Tensor) or self.index.shape[0] != 1:
            return None
        shape = tuple(self.index.shape[1:])
        if self.keeps_order:
            return _seen_as(self.shape, shape)
        if len(shape) == len(self.shape) == 1:
            return _along(0, self.index[0], self.shape[0])
        if len(self.shape) == 1 and shape[1:] == (1, 1):
            return [*_along(0, self.index.flatten(), self.shape[0]), Unflatten()]
        if len(shape) != 3 or len(self.shape) != 3 or not self.index.numel():
            return None
        _, height, width = self.shape
        index = self.index[0]
        channels, rest = index[:, 0, 0] // (height * width), index[0] % (height * width)
        rows, columns = rest[:, 0] // width, rest[0] % width
        place = rows[:, None] * width + columns
        if not torch.equal(index, channels[:, None, None] * height * width + place):
            return None
        moves = _along(0, channels, self.shape[0])
        straight = [*_along(1, rows, height), *_along(2, columns, width)]
        if all(isinstance(move, Slice) for move in straight):
            return [*moves, *straight]
        return [*moves, Lines(tuple(rows.tolist()), tuple(columns.tolist()))]

    def copied(self) -> list[Move] | None:
        """As `plain`, or a copy of all numbers, in their order, in a shape of another kind."""
        moves = self.plain()
        if moves is not None or not isinstance(self.index, Tensor) or not self.keeps_order:
            return moves
        shape = tuple(self.index.shape[1:])
        flat: list[Move] = [Flatten()] if len(self.shape) == 3 else []
        return [*flat, Unflatten((shape[1], shape[2]))] if len(shape) == 3 else None


def _size(shape: Shape) -> int:
    return int(torch.Size(shape).numel())


def _seen_as(shape: Shape, other: Shape) -> list[Move] | None:
    """From one shape to another of as many numbers."""
    if shape == other:
        return []
    if len(shape) == 3 and len(other) == 1:
        return [Flatten()]
    return [Unflatten()] if other == (*shape, 1, 1) else None


def _along(axis: int, places: Tensor, length: int) -> list[Move]:
    """What takes these places of one axis, in this order; nothing where those are all."""
    found: list[int] = places.tolist()
    step = found[1] - found[0] if len(found) > 1 else 1
    if found == [*range(length)]:
        return []
    if step > 0 and found == [*range(found[0], found[-1] + 1, step)]:
        return [Slice(axis, found[0], found[-1] + 1, step)]
    return [Shuffle(tuple(found))]
