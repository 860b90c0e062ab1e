"""Labelled photographs as pairs of tensor and class, for any loop."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.utils.data import Dataset

from exeunt.data import Sample, Transform


class Photos(Dataset[tuple[Tensor, int]]):
    """Image (C, H, W) and class of each sample; augmentation of your own goes here."""

    def __init__(self, samples: Sequence[Sample], transform: Transform) -> None:
        self.samples, self.transform = samples, transform

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        sample = self.samples[index]
        return self.transform(sample.place.load()), int(sample.target)
