"""Batches of images: the dataset, its two loaders, and what is done about unreadable files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from exeunt.data.augment import Augment
from exeunt.data.decode import UnreadableImage
from exeunt.data.source import Sample
from exeunt.data.transforms import Transform
from exeunt.data.workers import start_worker
from exeunt.errors import ExeuntError

MAX_UNREADABLE_FRACTION = 0.01


@dataclass(frozen=True)
class Item:
    """One image (C, H, W), or None and the reason if it is unreadable, and where it came from."""

    image: Tensor | None
    target: int | float
    index: int
    name: str
    reason: str = ""


@dataclass
class Batch:
    """N readable images, and what is known of the unreadable ones that were left out.

    Attributes:
        images: float32 (N, C, H, W). N may be less than the batch size, and even 0.
        targets: int64 (N,) for classes, float32 (N,) for values.
        indices: int64 (N,), positions in the list of samples.
        unreadable: By the names of the samples left out, why each cannot be read.
    """

    images: Tensor
    targets: Tensor
    indices: Tensor
    unreadable: dict[str, str]

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device | str) -> Batch:
        """The batch on `device`; the copy does not wait where memory is pinned."""
        return Batch(
            self.images.to(device, non_blocking=True),
            self.targets.to(device, non_blocking=True),
            self.indices.to(device, non_blocking=True),
            self.unreadable,
        )

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory; called by `DataLoader`."""
        return Batch(
            self.images.pin_memory(),
            self.targets.pin_memory(),
            self.indices.pin_memory(),
            self.unreadable,
        )


class ImageDataset(Dataset[Item]):
    """Decodes and transforms samples, one at a time.

    With a `Transform` the key is the index i. With an `Augment` it is a pair (epoch, i), and the
    random numbers depend on (seed, epoch, i) alone: not on the worker, nor on the order.

    Args:
        samples: The images to serve.
        transform: `Transform` to evaluate, `Augment` to train.
        seed: Of the augmentation, at least 0.

    Raises:
        ExeuntError: If there are no samples, or the seed is negative.
    """

    def __init__(
        self, samples: Sequence[Sample], transform: Transform | Augment, seed: int = 0
    ) -> None:
        if not samples:
            raise ExeuntError("there are no images to load: the list of samples is empty")
        if seed < 0:
            raise ExeuntError(f"seed must be at least 0, not {seed}")
        self.samples = tuple(samples)
        self.transform = transform
        self.seed = seed

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: int | tuple[int, int]) -> Item:
        """The item of index i, or of (epoch, i).

        Raises:
            TypeError: If an `Augment` is asked for an item without an epoch.
        """
        epoch, index = key if isinstance(key, tuple) else (None, key)
        sample = self.samples[index]
        try:
            image = sample.place.load()
        except UnreadableImage as error:
            return Item(None, sample.target, index, sample.name, error.reason)
        if isinstance(self.transform, Transform):
            return Item(self.transform(image), sample.target, index, sample.name)
        if epoch is None:
            raise TypeError(f"an augmented dataset takes keys (epoch, index), not {key!r}")
        rng = np.random.default_rng((self.seed, epoch, index))
        return Item(self.transform(image, rng), sample.target, index, sample.name)

    def collate(self, items: Sequence[Item]) -> Batch:
        """Stack the readable items and list the names of the others."""
        base = self.transform if isinstance(self.transform, Transform) else self.transform.transform
        readable = [item for item in items if item.image is not None]
        images = torch.empty(len(readable), base.channels, *base.image_size)
        for row, item in zip(images, readable, strict=True):
            row.copy_(item.image)
        floating = isinstance(self.samples[0].target, float)
        return Batch(
            images,
            torch.tensor(
                [item.target for item in readable],
                dtype=torch.float32 if floating else torch.int64,
            ),
            torch.tensor([item.index for item in readable], dtype=torch.int64),
            {item.name: item.reason for item in items if item.image is None},
        )


class EpochBatches(Sampler[list[tuple[int, int]]]):
    """Batches of keys (epoch, i) in an order that depends on (seed, epoch) alone.

    An incomplete last batch is dropped unless it is the only one. Of every batch only `share` is
    given: (r, n) is the r-th of n parts, r from 0, which together are the batch.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        seed: int,
        epoch: int = 0,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.length = length
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = epoch
        self.share = share

    def __len__(self) -> int:
        return max(1, self.length // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.length).tolist()
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            batch = order[start : start + self.batch_size]
            yield [(self.epoch, index) for index in batch[self.share[0] :: self.share[1]]]


class TrainLoader(DataLoader[Item]):
    """A loader for all epochs: call `set_epoch`, then iterate. Gives a `Batch` at a time."""

    batch_sampler: EpochBatches

    def set_epoch(self, epoch: int) -> None:
        """Let the next iteration be that of `epoch`, counted from 0."""
        self.batch_sampler.epoch = epoch


def train_loader(
    samples: Sequence[Sample],
    augment: Augment | Transform,
    *,
    batch_size: int,
    seed: int,
    epoch: int = 0,
    workers: int = 0,
    share: tuple[int, int] = (0, 1),
) -> TrainLoader:
    """Shuffled, augmented batches; the same ones for any number of workers.

    Args:
        samples: The images to train on.
        augment: How to prepare them (a `Transform` trains without augmentation).
        batch_size: Images per batch; an incomplete last batch is dropped unless it is the only one.
        seed: Of the order and of the augmentation, at least 0.
        epoch: Which epoch the first iteration is; `TrainLoader.set_epoch` changes it.
        workers: Processes that load; 0 loads in this one. They live as long as the loader.
        share: Of every batch, the r-th of n parts as (r, n); for n processes that train together.

    Raises:
        ExeuntError: If there are no samples, or a number is out of its range.
    """
    _check_sizes(batch_size, workers)
    if share[1] > 1 and batch_size < 2 * share[1]:
        raise ExeuntError(
            f"batch_size={batch_size} leaves {share[1]} processes fewer than two images each; "
            f"give at least {2 * share[1]}"
        )
    dataset = ImageDataset(samples, augment, seed)
    return TrainLoader(
        dataset,
        batch_sampler=EpochBatches(len(dataset), batch_size, seed, epoch, share),
        num_workers=workers,
        collate_fn=dataset.collate,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=start_worker,
        persistent_workers=workers > 0,
        generator=torch.Generator(),  # else each epoch draws from the global one
    )


def eval_loader(
    samples: Sequence[Sample], transform: Transform, *, batch_size: int, workers: int = 0
) -> DataLoader[Item]:
    """All samples in their order, a `Batch` at a time.

    Args:
        samples: The images to evaluate.
        transform: How to prepare them.
        batch_size: Images per batch; the last batch may be smaller.
        workers: Processes that load; 0 loads in this one. They live as long as the loader.

    Raises:
        ExeuntError: If there are no samples, or a number is out of its range.
    """
    _check_sizes(batch_size, workers)
    dataset = ImageDataset(samples, transform)
    return DataLoader(
        dataset,
        batch_size=batch_size,
        num_workers=workers,
        collate_fn=dataset.collate,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=start_worker,
        persistent_workers=workers > 0,
        generator=torch.Generator(),
    )


class UnreadableTally:
    """Counts the unreadable images of one split and gives up when they are too many.

    Args:
        total: Images in the split.
        known: Unreadable images that were met before: why each is, by its name.
        allowed: The share of them that may be.
    """

    def __init__(
        self,
        total: int,
        known: Mapping[str, str] | None = None,
        allowed: float = MAX_UNREADABLE_FRACTION,
    ) -> None:
        self.total = total
        self.allowed = allowed
        self._reasons = dict(known or {})

    @property
    def reasons(self) -> dict[str, str]:
        """Why each image met so far is unreadable, by name, sorted; over all epochs, once each."""
        return dict(sorted(self._reasons.items()))

    def add(self, batch: Batch) -> None:
        """Count the unreadable images of `batch`.

        Raises:
            ExeuntError: If a larger share of all images than allowed is unreadable; it names up to
                five, and the share that would do.
        """
        self.include(batch.unreadable)

    def include(self, *found: Mapping[str, str]) -> None:
        """Count unreadable images, by name, with why each is.

        Raises:
            ExeuntError: As `add`.
        """
        for reasons in found:
            self._reasons.update(reasons)
        count = len(self._reasons)
        if count > self.allowed * self.total:
            enough = math.ceil(1000 * count / self.total) / 1000
            raise ExeuntError(
                f"{count} of {self.total} images are unreadable, more than "
                f"{100 * self.allowed:g} %: {described(self.reasons)}. Mend or remove them, or let "
                f"them be left out with --allow-unreadable {enough:g} (allow_unreadable in Python "
                "and recipes), with which a run that has begun can be resumed"
            )


def described(unreadable: Mapping[str, str], most: int = 5) -> str:
    """Unreadable images with the reasons, no more than `most` of them."""
    parts = [f"{name} ({reason})" for name, reason in unreadable.items()]
    return ", ".join(parts[:most]) + (", ..." if len(parts) > most else "")


def _check_sizes(batch_size: int, workers: int) -> None:
    if batch_size < 1:
        raise ExeuntError(f"batch_size must be at least 1, not {batch_size}")
    if workers < 0:
        raise ExeuntError(f"workers must be at least 0, not {workers}")
