"""The arena of a streamed plan: rows lie where the plan says, and nowhere else."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from exeunt.errors import ExeuntError
from exeunt.graph.rows import row_count
from exeunt.graph.streamed import StreamedPlan

_FLOAT_BYTES = 4


@dataclass(frozen=True)
class _Fence:
    """The place of what an operator has of its own, marked while that is needed."""

    name: str
    place: Tensor
    mark: float
    last: int

    def check(self) -> None:
        if not bool((self.place == self.mark).all()):
            raise ExeuntError(f"{self.name}: its place was written to")


class Arena:
    """Memory for one image, float32, full of NaN at first.

    What operators have of their own is not kept here, but its places are marked while they are
    needed, and must stay marked.

    Args:
        plan: for float32, with the image.
    """

    def __init__(self, plan: StreamedPlan) -> None:
        self.plan, self.shapes = plan, plan.graph.shapes
        self.memory = torch.full((plan.arena_bytes // _FLOAT_BYTES,), math.nan)
        self.begins: dict[int, list[_Fence]] = defaultdict(list)
        self.fences: list[_Fence] = []
        tensors = set(plan.home.values())
        for number, buffer in enumerate(plan.row_buffers):
            if number not in tensors:
                for k, spans in enumerate(buffer.spans):
                    place, mark = self._place(number, k), number + 0.5
                    for first, last in spans:
                        self.begins[first].append(_Fence(buffer.name, place, mark, last))

    def _place(self, number: int, row: int) -> Tensor:
        start = self.plan.offsets_bytes[number][row] // _FLOAT_BYTES
        return self.memory[start : start + self.plan.row_buffers[number].row_bytes // _FLOAT_BYTES]

    def begin(self, event: int) -> None:
        """Marks what an operator has of its own from this event on."""
        for fence in self.begins[event]:
            fence.place.fill_(fence.mark)
            self.fences.append(fence)

    def end(self, event: int) -> None:
        """Looks whether all that is marked is still.

        Raises:
            ExeuntError: naming what was written to.
        """
        for fence in self.fences:
            fence.check()
        self.fences = [fence for fence in self.fences if fence.last > event]

    def write(self, name: str, row: int, values: Tensor) -> None:
        """Puts down one row: (C, W) of a map, or a vector."""
        self._place(self.plan.home[name], row).copy_(values.flatten())

    def read(self, name: str, row: int) -> Tensor:
        """One row, (C, W) of a map and (C, 1) of a vector, from wherever its channels lie."""
        parts = []
        for part in self.plan.segments[name]:
            channels = self.shapes[part.tensor][0]
            line = self._place(self.plan.home[part.tensor], row).view(channels, -1)
            if part.columns is not None:
                line = line[:, slice(*part.columns)]
            parts.append(line[part.first : part.first + part.channels])
        return torch.cat(parts)

    def rows(self, name: str, rows: Sequence[int], missing: float = 0.0) -> Tensor:
        """Rows of a map as one, (C, len(rows), W); those outside of it are `missing`."""
        channels, height, width = self.shapes[name]
        outside = torch.full((channels, width), missing)
        inside = [self.read(name, row) if 0 <= row < height else outside for row in rows]
        return torch.stack(inside, 1)

    def tensor(self, name: str) -> Tensor:
        """All of a tensor."""
        height = row_count(self.shapes[self.plan.segments[name][0].tensor])
        whole = torch.stack([self.read(name, row) for row in range(height)], 1)
        return whole.view(self.shapes[name])
