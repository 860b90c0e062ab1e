"""minGRU with hard gates, for a trial: it trains and predicts in torch, and runs nowhere else."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from exeunt.ops.recurrence import CELLS, Cell, MinGRU, gate_maps, mingru_step

HARD = "hard_mingru"


class HardMinGRU(MinGRU):
    """`z = hardsigmoid(W_z x + b_z)`, `c = hardtanh(W_c x + b_c)`; all else as in `MinGRU`."""


def hard_gates(projected: Tensor, directions: int) -> Tensor:
    """Update gates and candidates of every pixel, from (D*2h, ...) to the same shape."""
    update, new = gate_maps(projected, directions)
    return torch.stack([F.hardsigmoid(update), F.hardtanh(new)], dim=1).flatten(0, 2)


CELLS[HARD] = Cell(HardMinGRU, mingru_step, gates=2, activate=hard_gates)
