"""The joint loss of all exits (ReX paper, equations 12-14), and what modules add to it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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


def auxiliary_loss(net: nn.Module) -> Tensor:
    """What the modules of `net` add to the loss of the pass just made, a scalar.

    The sum over all modules with a method `auxiliary_loss()`, such as `LiftDownPool2d`; weights
    are theirs. 0 where there is none.
    """
    total = next(net.parameters(), torch.empty(0)).new_zeros(())
    for module in net.modules():
        own = getattr(module, "auxiliary_loss", None)
        if own is not None:
            total = total + own()
    return total
