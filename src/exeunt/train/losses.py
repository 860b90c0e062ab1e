"""The joint loss of all exits (ReX paper, equations 12-14)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def exit_losses(logits: Sequence[Tensor], targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean loss of every exit: cross-entropy for class indices, squared error for values.

    Args:
        logits: E tensors (N, K); for values (N, 1).
        targets: (N,) int64 classes or float32 values.
        label_smoothing: of the cross-entropy.

    Returns:
        (E,), float32.
    """
    if targets.is_floating_point():
        return torch.stack([F.mse_loss(out[:, 0].float(), targets) for out in logits])
    return torch.stack(
        [F.cross_entropy(out.float(), targets, label_smoothing=label_smoothing) for out in logits]
    )


def depth_weighted(losses: Tensor) -> Tensor:
    """`sum_j j l_j / sum_j j` with j = 1..E (equation 12): later exits count more."""
    weights = torch.arange(1, len(losses) + 1, device=losses.device, dtype=losses.dtype)
    return (weights * losses).sum() / weights.sum()
