"""Labelled images before any split: samples, the source they belong to, and their hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from exeunt.data.left_out import LeftOut, listed
from exeunt.data.place import Place
from exeunt.errors import ExeuntError

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
    """Labelled images as found on disk or in a dataset, before any split.

    Attributes:
        root: The folder or archive that sample names are relative to, or what a dataset is called.
        task: What the targets are.
        class_names: Names of the classes, by target; empty for regression.
        pools: Either `{"all": ...}` or `{"train": ..., "test": ...}`; samples are sorted by name.
        left_out: What lies among the images but is none of the samples.
    """

    root: Path | str
    task: Task
    class_names: tuple[str, ...]
    pools: Mapping[str, tuple[Sample, ...]]
    left_out: LeftOut = field(default_factory=LeftOut)

    @property
    def name(self) -> str:
        """What the images are called: the folder, without those above it, or the dataset."""
        return self.root if isinstance(self.root, str) else self.root.resolve().name

    @property
    def samples(self) -> tuple[Sample, ...]:
        """Those of all pools, one after the other."""
        return tuple(sample for pool in self.pools.values() for sample in pool)

    def numbered_as(self, class_names: Sequence[str]) -> Source:
        """The same images for a network with these classes, some of which may have no image.

        Raises:
            ExeuntError: If a class of an image is none of them, or there are no classes here.
        """
        if self.task != "classification":
            raise ExeuntError(f"{self.root}: has values to be predicted, no classes")
        numbers = {name: number for number, name in enumerate(class_names)}
        met = {self.class_names[int(sample.target)] for sample in self.samples}
        if unknown := [name for name in self.class_names if name in met - numbers.keys()]:
            raise ExeuntError(
                f"{self.root}: has images of classes that the weights do not know: "
                f"{listed(map(repr, unknown))}; they know {listed(map(repr, class_names))}"
            )
        if self.class_names == tuple(class_names):
            return self
        pools = {
            pool: tuple(
                replace(sample, target=numbers[self.class_names[int(sample.target)]])
                for sample in samples
            )
            for pool, samples in self.pools.items()
        }
        return replace(self, class_names=tuple(class_names), pools=pools)


def fingerprint(samples: Iterable[Sample]) -> str:
    """Hash the names, sizes in bytes and targets of `samples`, whatever their order.

    Returns:
        16 hex characters. No image is read, so an edit of a file that keeps its size goes
        unnoticed. For images of a dataset of Python, the hash of the pixels is in it.

    Raises:
        ExeuntError: If a file is gone.
    """
    digest = hashlib.blake2b(digest_size=8)
    for sample in sorted(samples, key=lambda sample: sample.name):
        text = f"{sample.name}\0{sample.place.stamp}\0{sample.target!r}\n"
        digest.update(text.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def content_hash(place: Place) -> str:
    """Hash the bytes of an image as they are stored, or its pixels if it comes from a dataset of
    Python (BLAKE2b, 16 hex characters).

    Raises:
        OSError: If a file cannot be read.
        ExeuntError: If a file has become too short.
    """
    return place.content_hash()


def by_name(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    """The samples in the order of pools and splits."""
    return tuple(sorted(samples, key=lambda sample: sample.name))
