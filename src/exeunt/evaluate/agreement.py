"""How often exits say the same."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from exeunt.errors import ExeuntError
from exeunt.evaluate.scores import predicted_classes
from exeunt.evaluate.table import ExitTable


def agreement(table: ExitTable, eta: float | None = None) -> Tensor:
    """Share of samples on which exits i and j agree (E E, float64), symmetric, ones on the
    diagonal.

    They agree as they do for `Consistency`: on the class or, in regression, on a value that differs
    by less than `eta`.

    Raises:
        ExeuntError: `eta` is missing for a regression, or given for classes, or not above 0.
    """
    if (table.task == "regression") != (eta is not None):
        needs = "needs eta, below which values agree" if eta is None else f"has no eta, got {eta}"
        raise ExeuntError(f"agreement of exits in {table.task} {needs}")
    if eta is None:
        classes = predicted_classes(table)
        rows = [(classes == own).double().mean(dim=1) for own in classes]
    else:
        if not 0 < eta < math.inf:
            raise ExeuntError(f"eta must be a finite number > 0, got {eta}")
        values = table.all_predictions
        rows = [((values - own).abs() < eta).double().mean(dim=1) for own in values]
    return torch.stack(rows)
