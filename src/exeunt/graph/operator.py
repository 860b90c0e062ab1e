"""What an operator of the graph is, and all that the other rooms ask it.

Shapes are those of one image, without the batch: (C, H, W) for maps and (C,) for vectors. An
operator says what it computes (`run`, on batches), what it costs (`macs`), and how its output hangs
on its input; its weights are constants of the node that it belongs to.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from torch import Tensor

Shape = tuple[int, ...]
Constants = Mapping[str, Tensor]
Pair = tuple[int, int]

ROWS = 1
"""The axis of (C, H, W) along which maps stream."""


@dataclass(frozen=True)
class Operator(ABC):
    """What a node does with its inputs.

    Attributes:
        by_pixel: whether a pixel of the output hangs on the same pixel of its inputs alone.
        in_place: whether the output may lie where an input of its size does that nobody reads
            again.
        keeps_scale: whether the output's numbers are some of the inputs', means or maxima of them,
            so that integers of both have one scale.
        moves: whether the output's numbers are some of the inputs', or 0, and nothing else.
        accumulates: whether it takes in each row of its input once, as it comes, and keeps what it
            needs.
    """

    by_pixel: ClassVar[bool] = False
    in_place: ClassVar[bool] = False
    keeps_scale: ClassVar[bool] = False
    moves: ClassVar[bool] = False

    @property
    def accumulates(self) -> bool:
        return False

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

    def rows(self, height: int, out: int, row: int) -> range:
        """The rows of an input of `height` rows that row `row`, of `out`, of the output hangs on.

        Rows outside the input stand for padding. An operator that says no more than this needs all
        of its input first, unless it goes pixel by pixel.
        """
        return range(row, row + 1) if self.by_pixel else range(height)

    def kept_bytes(self, taken: Shape, element_bytes: int) -> int:
        """What it keeps between rows, its first input being of shape `taken`; in bytes."""
        return 0
