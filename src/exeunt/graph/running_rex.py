"""ReX, fed one row at a time."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from exeunt.ops.recurrence import CELLS, CellWeights, State
from exeunt.ops.rex import ReX2d
from exeunt.ops.sweep import sweep

_ROWS, _COLUMNS = 1, 2  # the axes of a (features, H, W, N) map


class RunningReX:
    """Takes the rows of one map as they come, and gives each row of patches once it is complete.

    It holds the column sweeps of the patches that are under way and the row summaries of one patch,
    which is what `kept_bytes` counts; no row of the map outlives its step.

    Args:
        rex: the operator.
        height: of the map.
        width: of the map.
    """

    def __init__(self, rex: ReX2d, height: int, width: int) -> None:
        self.rex, self.width = rex, width
        self.rows, self.columns = rex.windows(height, width)
        self.cell = CELLS[rex.cell]
        self.weights = CellWeights.of(rex.rnn1, directions=1)
        self.arrived = 0
        self.line = 0
        self.summaries: deque[Tensor] = deque(maxlen=self.rows.size)
        self.under_way: dict[int, State] = {}
        self.done: list[Tensor] = []
        for _ in range(self.rows.lead):
            self._take_padding()

    def take(self, row: Tensor) -> None:
        """Takes in the next row, (C, W)."""
        if self.arrived in self.rows.kept:
            self._take_line(row)
        self.arrived += 1

    def row(self, number: int) -> Tensor:
        """A row of the output, (out_channels, W'), once all rows of the map in it were taken."""
        patch = min(number, self.rows.out - 1)
        while len(self.done) <= patch:  # what it still lacks lies below the map
            self._take_padding()
        return self.done[patch]

    def _take_padding(self) -> None:
        self._take_line(torch.zeros(self.rex.in_channels, self.width))

    def _take_line(self, row: Tensor) -> None:
        columns, weights = self.columns, self.weights
        line = columns.keep(row[:, None, :, None], _COLUMNS)
        line = F.pad(line, (0, 0, columns.lead, columns.trail))
        projected = self.cell.project(line, weights)
        along = [[columns.read(_COLUMNS, t)] for t in range(columns.size)]
        ends = sweep(projected, [along], self.cell, weights.weight_hh, weights.bias)
        self.summaries.append(ends[0])
        flat = projected.flatten(1)[None]
        zero = projected.new_zeros(1, self.rex.hidden1, columns.lines)
        for patch in range(self.rows.out):
            begins = patch * self.rows.hop
            if begins <= self.line < begins + self.rows.size:
                state = self.under_way.pop(patch, (zero,) * self.cell.states)
                state = self.cell.step(flat, state, weights.weight_hh, weights.bias)
                self.under_way[patch] = state
        complete, over = divmod(self.line - self.rows.size + 1, self.rows.hop)
        if over == 0 and 0 <= complete < self.rows.out:
            self.done.append(self._row_of_patches(self.under_way.pop(complete)))
        self.line += 1

    def _row_of_patches(self, columns_end: State) -> Tensor:
        """(out_channels, W')."""
        row_ends = torch.cat([*self.summaries], _ROWS)
        column_ends = columns_end[0].view(self.rex.hidden1, 1, self.columns.lines, 1)
        out = self.rex.summarise(row_ends, column_ends, replace(self.rows, out=1), self.columns)
        repeated: Tensor = F.pad(out, (0, self.columns.repeat, 0, 0), mode="replicate")
        return repeated[0, :, 0]
