"""ReNet in integers: int8 patches, gates of columns in 16 bits, states of 16."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from exeunt.ops.renet import ReNet2d
from exeunt.quantize.operators import IntegerOperator
from exeunt.quantize.rex import IntegerCell, Rescaling
from exeunt.quantize.scale import INT16, Scale


def narrowed(gates: Tensor) -> Tensor:
    """What an input adds to gates, in 4096ths, as 16 bits keep it: in 2048ths, and within +-16."""
    return (gates >> 1).clamp(*INT16) << 1


@dataclass(frozen=True)
class IntegerReNet(IntegerOperator):
    """`ReNet2d` of GRU cells.

    Attributes:
        renet: sizes.
        columns: the cells that sweep columns of patches, down and up.
        rows: the cells that sweep rows of what those say, right and left.
        states: from states to steps of the output, by channel.
        zero_in: the input's integer for 0.
        scale: of the output.
    """

    renet: ReNet2d
    columns: tuple[IntegerCell, ...]
    rows: tuple[IntegerCell, ...]
    states: Rescaling
    zero_in: int
    scale: Scale

    def run(self, inputs: Sequence[Tensor]) -> Tensor:
        height, width = self.renet.patch_size
        x = inputs[0]
        down, across = -x.shape[2] % height, -x.shape[3] % width
        edges = (across // 2, across - across // 2, down // 2, down - down // 2)
        x = F.pad(x, edges, value=self.zero_in)
        rows, columns = x.shape[2] // height, x.shape[3] // width
        grid = x.reshape(*x.shape[:2], rows, height, columns, width)  # N C I h J w
        patches = grid.permute(1, 3, 5, 2, 4, 0).flatten(0, 2)  # Chw I J N
        ways = enumerate(self.columns)
        vertical = torch.cat([self._sweep(cell, patches, 1, way) for way, cell in ways])
        both = [self._sweep(cell, vertical, 2, way) for way, cell in enumerate(self.rows)]
        out = self.states.apply(torch.cat(both)) + self.scale.zero
        return out.clamp(*self.scale.limits).permute(3, 0, 1, 2).contiguous()

    def _sweep(self, cell: IntegerCell, maps: Tensor, axis: int, way: int) -> Tensor:
        """All states of a cell along an axis of a map (features, I, J, N), backward if `way`."""
        taken = cell.take(maps)
        if axis == 1:
            taken = narrowed(taken)
        steps = list(taken.unbind(axis))
        state = torch.zeros_like(steps[0][: cell.units])
        found = []
        for step in reversed(steps) if way else steps:
            state = cell.step(step, state)
            found.append(state)
        return torch.stack(found[::-1] if way else found, axis)
