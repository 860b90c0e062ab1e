"""A few settings that stand for many samples."""

from __future__ import annotations

import torch
from torch import Tensor

SETTINGS = 64
"""Enough to come near the best; many more would follow the noise of a few thousand samples."""


def quantiles(values: Tensor) -> list[float]:
    """At most `SETTINGS` of the values (N), spread evenly over the samples, ascending."""
    if len(values) == 0:
        return []
    places = torch.linspace(0, len(values) - 1, SETTINGS).round().long()
    return sorted(set(values.sort().values[places].tolist()))
