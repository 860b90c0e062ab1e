"""Temperatures that make an exit's probabilities mean what they say."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from exeunt.calibrate.held_out import refuse_test
from exeunt.errors import ExeuntError
from exeunt.evaluate import ExitTable

LOWEST, HIGHEST = 0.01, 100.0
"""Where the search ends for exits that are always, or hardly ever, right."""

_STEPS = 100
_ROWS = 8192  # looked at together


def fit_temperatures(table: ExitTable) -> tuple[float, ...]:
    """The temperature of each exit (E) under which the targets are likeliest, to six digits.

    Logits divided by it before the softmax have the least mean negative log-likelihood on this
    table (Guo et al., ICML 2017). That is convex in the inverse of the temperature, which Newton's
    method finds between `LOWEST` and `HIGHEST`. No answer changes; that an exit is 80 % sure comes
    to mean the same at every exit.

    Raises:
        ExeuntError: The table is of the test split or of regression.
    """
    refuse_test(table)
    if table.task == "regression":
        raise ExeuntError("temperatures are for logits of two or more classes, not for regression")
    exits = map(table.of_exit, range(table.num_exits))
    return tuple(float(f"{1 / _sharpness(z, table.targets):.6g}") for z in exits)


def _sharpness(logits: Tensor, targets: Tensor) -> float:
    """The inverse temperature of least loss: where the slope of the loss changes its sign."""
    low, high = 1 / HIGHEST, 1 / LOWEST
    sharpness = 1.0
    for _ in range(_STEPS):
        slope, curvature = _derivatives(logits, targets, sharpness)
        if slope > 0:
            high = sharpness
        else:
            low = sharpness
        newton = sharpness - slope / curvature if curvature > 0 else math.inf
        following = newton if low < newton < high else math.sqrt(low * high)
        if math.isclose(following, sharpness, rel_tol=1e-9):
            break
        sharpness = following
    return sharpness


def _derivatives(logits: Tensor, targets: Tensor, sharpness: float) -> tuple[float, float]:
    """The first two derivatives, by the sharpness, of the loss of logits (N K) at targets (N):
    summed over samples, the expected logit less the target's, and the variance of the logits.
    """
    slope = curvature = 0.0
    for rows, wanted in zip(torch.split(logits, _ROWS), torch.split(targets, _ROWS), strict=True):
        z = rows.double()
        p = (sharpness * z).softmax(dim=1)
        mean = (p * z).sum(dim=1, keepdim=True)
        slope += (mean - z.gather(1, wanted[:, None])).sum().item()
        curvature += (p * (z - mean).square()).sum().item()
    return slope, curvature
