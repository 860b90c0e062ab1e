"""Labelled images before any split: samples, the source they belong to, and their hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from exeunt.data.place import Place

Task = Literal["classification", "regression"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled image.

    Attributes:
        place: Where the image is kept.
        target: Index into `Source.class_names`, or the value to be predicted (a float).
        name: Unique in a source, and the same wherever the source lies: for files, the path
            relative to its root, with forward slashes.
    """

    place: Place
    target: int | float
    name: str


@dataclass(frozen=True)
class Source:
    """Labelled images as found on disk, before any split.

    Attributes:
        root: The folder or archive that sample names are relative to.
        task: What the targets are.
        class_names: Names of the classes, by target; empty for regression.
        pools: Either `{"all": ...}` or `{"train": ..., "test": ...}`; samples are sorted by name.
    """

    root: Path
    task: Task
    class_names: tuple[str, ...]
    pools: Mapping[str, tuple[Sample, ...]]

    @property
    def samples(self) -> tuple[Sample, ...]:
        """Those of all pools, one after the other."""
        return tuple(sample for pool in self.pools.values() for sample in pool)


def fingerprint(samples: Iterable[Sample]) -> str:
    """Hash the names, sizes in bytes and targets of `samples`, whatever their order.

    Returns:
        16 hex characters. No image is read, so an edit that keeps its size goes unnoticed.

    Raises:
        ExeuntError: If a file is gone.
    """
    digest = hashlib.blake2b(digest_size=8)
    for sample in sorted(samples, key=lambda sample: sample.name):
        text = f"{sample.name}\0{sample.place.size_bytes}\0{sample.target!r}\n"
        digest.update(text.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def content_hash(place: Place) -> str:
    """Hash the bytes of an image as they are stored (BLAKE2b, 16 hex characters).

    Raises:
        OSError: If a file cannot be read.
        ExeuntError: If a file has become too short.
    """
    return hashlib.blake2b(place.content(), digest_size=8).hexdigest()


def by_name(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    """The samples in the order of pools and splits."""
    return tuple(sorted(samples, key=lambda sample: sample.name))
