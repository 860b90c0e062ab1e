"""The joint loss of all exits (ReX paper, equations 12-14), and what modules add to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exeunt.training.mixing import Targets
from exeunt.training.teacher import Teacher


def exit_losses(
    logits: Sequence[Tensor],
    targets: Tensor,
    label_smoothing: float = 0.0,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Mean loss of every exit: cross-entropy for class indices, squared error for values.

    Args:
        logits: E tensors (N, K); for values (N, 1).
        targets: (N,) int64 classes or float32 values.
        label_smoothing: of the cross-entropy.
        class_weights: (K,), of the images of each class. The mean is over the N images, not over
            the weights of those that a batch happens to have (as PyTorch's own), which in small
            batches would take from rare classes what their weights give them.

    Returns:
        (E,), float32.
    """
    if targets.is_floating_point():
        return torch.stack([F.mse_loss(out[:, 0].float(), targets) for out in logits])
    if class_weights is None:
        means = [
            F.cross_entropy(o.float(), targets, label_smoothing=label_smoothing) for o in logits
        ]
    else:
        weights = class_weights[targets]
        means = [
            (
                weights
                * F.cross_entropy(
                    o.float(), targets, reduction="none", label_smoothing=label_smoothing
                )
            ).mean()
            for o in logits
        ]
    return torch.stack(means)


def balanced_weights(targets: Sequence[int], num_classes: int) -> Tensor:
    """`n / (K n_c)` for K classes, of which n_c of the n targets are (scikit-learn's "balanced").

    Every class must be among them. Returns (K,), float32; over the targets their mean is 1.
    """
    counts = torch.bincount(torch.tensor(targets), minlength=num_classes)
    return len(targets) / (num_classes * counts.float())


@dataclass(frozen=True)
class Criterion:
    """The loss of every exit, before a regime makes one of them.

    Attributes:
        label_smoothing: of the cross-entropy.
        class_weights: (K,), as `exit_losses` takes them.
        teacher: has its share of every exit's loss, the labels have the rest.
    """

    label_smoothing: float = 0.0
    class_weights: Tensor | None = None
    teacher: Teacher | None = None

    def __call__(self, images: Tensor, logits: Sequence[Tensor], targets: Targets) -> Tensor:
        """For images (N, C, H, W) and E logits (N, K); returns (E,), float32."""
        losses = targets.weigh(
            lambda some: exit_losses(logits, some, self.label_smoothing, self.class_weights)
        )
        return losses if self.teacher is None else self.teacher.joined(losses, images, logits)


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
