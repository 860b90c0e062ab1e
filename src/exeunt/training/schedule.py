"""The learning rate over a run."""

from __future__ import annotations

import math


def warmup_cosine(step: int, steps: int, warmup_steps: int) -> float:
    """Share of the peak rate at `step` of `steps`: a linear rise, then half a cosine to zero.

    Args:
        step: 0 to steps - 1.
        steps: of the whole run.
        warmup_steps: of the rise; the peak is reached on the last of them.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(1, steps - warmup_steps)))
