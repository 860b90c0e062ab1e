"""DATA as Python has it: datasets of torch, torchvision and Hugging Face, and lists of pairs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from exeunt.data.left_out import LeftOut
from exeunt.data.numbering import number_labels
from exeunt.data.pairs import LABEL_KEYS, PairedImage, Pairs
from exeunt.data.pools import pools_among
from exeunt.data.source import Sample, Source, Task
from exeunt.errors import ExeuntError


class LabelledImages:
    """One dataset of labelled images, or one to train on and one to test on.

    A dataset is *map-style*: it has a length, and at every position a pair (image, label) or a dict
    `{"image": ..., "label": ...}`. Images are PIL images, files, uint8 arrays (H, W, C) or (H, W),
    or uint8 tensors (C, H, W), with C = 1 or 3. Labels are numbers of classes (int), their names
    (str), or values to be predicted (float).

    Everything is read once, when the images are first needed. An image is known by its position
    (`train/00012`) and by a hash of its pixels; one that comes with other pixels later counts as
    unreadable. So the dataset must transform nothing at random.

    Args:
        train: A dataset, or a mapping such as `datasets.DatasetDict` with `train` and `test` (or
            `validation`).
        test: Of the same kind; without it, a test split is held out of `train`.
        class_names: K of them, by number. Without them they are the dataset's own (`classes`, or
            `features["label"].names`), or else the labels that occur, sorted.
        name: What the images are called, in messages and for the record; by default what the
            dataset says, or its type.

    Raises:
        ExeuntError: If a mapping has no such datasets, or `test` is given twice.
    """

    def __init__(
        self,
        train: Any,
        test: Any = None,
        *,
        class_names: Sequence[str] = (),
        name: str | None = None,
    ) -> None:
        self._left_out = LeftOut()
        if isinstance(train, Mapping):
            if test is not None:
                raise ExeuntError("train has several datasets already; leave test out")
            chosen = pools_among([*train], "the datasets", self._left_out)
            self._datasets = {pool: train[key] for pool, key in chosen.items()}
        else:
            pools = {"all": train} if test is None else {"train": train, "test": test}
            self._datasets = pools
        self._class_names = tuple(class_names)
        self.name = name or _name(next(iter(self._datasets.values())))

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        sizes = (
            f"{pool}: {len(dataset) if hasattr(dataset, '__len__') else '?'}"
            for pool, dataset in self._datasets.items()
        )
        return f"LabelledImages({self.name}, {', '.join(sizes)})"

    @cached_property
    def source(self) -> Source:
        """The images with their targets.

        Raises:
            ExeuntError: If a dataset is none, or an item of it is no labelled image; it names the
                item.
        """
        pools = {
            pool: Pairs(dataset, self.name if pool == "all" else f"{self.name} ({pool})")
            for pool, dataset in self._datasets.items()
        }
        names, targets = number_labels(
            self.name,
            {pool: pairs.labels for pool, pairs in pools.items()},
            self._class_names or self._own_class_names(),
        )
        if self._class_names and not names:
            raise ExeuntError(f"{self.name}: class_names were given, but its labels are floats")
        samples = {
            pool: tuple(
                Sample(PairedImage(pairs, i), target, name)
                for i, (target, name) in enumerate(
                    zip(targets[pool], positions(pool, len(pairs)), strict=True)
                )
            )
            for pool, pairs in pools.items()
        }
        task: Task = "classification" if names else "regression"
        return Source(self.name, task, names, samples, self._left_out)

    def _own_class_names(self) -> tuple[str, ...]:
        """Those that the datasets have, which must be the same."""
        found = {pool: _class_names(dataset) for pool, dataset in self._datasets.items()}
        first, *others = [names for names in found.values() if names] or [()]
        for other in others:
            if other != first:
                raise ExeuntError(
                    f"{self.name}: the datasets to train and to test on have different classes; "
                    "give class_names"
                )
        return first


DataLike: TypeAlias = str | Path | LabelledImages | Any
"""A path that `open_source` reads, or a dataset, or what `LabelledImages` is made of."""

Data: TypeAlias = Path | LabelledImages
"""The same, told apart; as text, what it is called in messages."""


def as_data(data: DataLike) -> Data:
    """Labelled images by their path, or as Python has them; nothing is read.

    Raises:
        ExeuntError: As `LabelledImages`.
    """
    if isinstance(data, (str, os.PathLike)):
        return Path(data)
    return data if isinstance(data, LabelledImages) else LabelledImages(data)


def positions(pool: str, count: int) -> list[str]:
    """Names of the images of a pool by their position, sorted as these are."""
    prefix, width = "" if pool == "all" else f"{pool}/", max(5, len(str(count - 1)))
    return [f"{prefix}{i:0{width}}" for i in range(count)]


def _name(dataset: Any) -> str:
    """What a dataset is called, that of a subset too."""
    while hasattr(dataset, "dataset"):
        dataset = dataset.dataset
    info = getattr(dataset, "info", None)
    for said in ("dataset_name", "builder_name"):
        if isinstance(name := getattr(info, said, None), str) and name:
            return name
    return "images" if isinstance(dataset, (list, tuple)) else type(dataset).__name__


def _class_names(dataset: Any) -> tuple[str, ...]:
    """The names that a dataset has for its classes, that of a subset too."""
    while hasattr(dataset, "dataset"):
        dataset = dataset.dataset
    features = getattr(dataset, "features", None)
    found = getattr(dataset, "classes", None)
    if isinstance(features, Mapping):
        key = next((key for key in LABEL_KEYS if key in features), None)
        found = getattr(features.get(key), "names", None)
    if not isinstance(found, (list, tuple)):
        return ()
    return tuple(one if isinstance(one, str) else ", ".join(map(str, one)) for one in found)
