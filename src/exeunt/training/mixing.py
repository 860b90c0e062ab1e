"""Images that are mixed with others of their batch: mixup and CutMix."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from exeunt.training.config import TrainConfig


@dataclass(frozen=True)
class Targets:
    """What N images show; each shows two things where images are mixed.

    Attributes:
        first: (N,) int64 classes or float32 values.
        second: (N,) what else the images show; None where they are not mixed.
        share: of the first in each image, 0 to 1; the second has the rest.
    """

    first: Tensor
    second: Tensor | None = None
    share: float = 1.0

    @property
    def dominant(self) -> Tensor:
        """(N,) what the images show most of."""
        return self.first if self.second is None or self.share >= 0.5 else self.second

    def weigh(self, loss: Callable[[Tensor], Tensor]) -> Tensor:
        """A loss of targets (N,), for both of them and weighted by their shares."""
        if self.second is None:
            return loss(self.first)
        return self.share * loss(self.first) + (1 - self.share) * loss(self.second)


def mix(
    images: Tensor, targets: Tensor, config: TrainConfig, rng: np.random.Generator
) -> tuple[Tensor, Targets]:
    """Mixes every image with another of the batch, or leaves all as they are.

    Mixup adds them up (Zhang et al., 2018), CutMix puts a rectangle of one into the other (Yun et
    al., 2019). The share is one draw for the whole batch from Beta(a, a), with a of `config.mixup`
    or `config.cutmix`; where both are above 0, a coin says which of them a batch gets.

    Args:
        images: (N, C, H, W); they are left as they are.
        targets: (N,) classes.
        config: of the run.
        rng: of the draws.
    """
    kinds = [kind for kind in ("mixup", "cutmix") if getattr(config, kind) > 0]
    if not kinds:
        return images, Targets(targets)
    kind = kinds[rng.integers(len(kinds))]
    alpha = getattr(config, kind)
    share = float(rng.beta(alpha, alpha))
    other = torch.from_numpy(rng.permutation(len(images))).to(images.device)
    if kind == "mixup":
        mixed = images.lerp(images[other], 1 - share)
    else:
        height, width = images.shape[2:]
        top, bottom = _span(height, share, rng)
        left, right = _span(width, share, rng)
        mixed = images.clone()
        mixed[:, :, top:bottom, left:right] = images[other, :, top:bottom, left:right]
        share = 1 - (bottom - top) * (right - left) / (height * width)
    return mixed, Targets(targets, targets[other], share)


def _span(length: int, share: float, rng: np.random.Generator) -> tuple[int, int]:
    """A side of CutMix's rectangle: `sqrt(1 - share)` of the image's, cut off at its borders."""
    side, centre = int(length * math.sqrt(1 - share)), int(rng.integers(length))
    return max(0, centre - side // 2), min(length, centre + side // 2)
