"""DATA as CIFAR-10 and CIFAR-100 are published, in the python and in the binary version."""

from __future__ import annotations

import io
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from exeunt.data.pickled import Array, read_pickle, text
from exeunt.data.place import PixelArray, Pixels
from exeunt.data.source import Sample, Source, by_name
from exeunt.data.store import Store, read
from exeunt.errors import ExeuntError

SHAPE = (3, 32, 32)
IMAGE_BYTES = 3 * 32 * 32


@dataclass(frozen=True)
class CifarVersion:
    """How one of the four publications names its parts.

    Attributes:
        title: What it is called.
        train: Files of the train pool.
        test: The file of the test pool.
        meta: The file of the class names.
        names_key: Where `meta` has them; empty if it is plain text.
        labels_key: Where a python file has its labels.
        label_bytes: Labels before each image of a binary file; the last one counts.
    """

    title: str
    train: tuple[str, ...]
    test: str
    meta: str
    names_key: str = ""
    labels_key: str = ""
    label_bytes: int = 0


VERSIONS = (
    CifarVersion(
        "CIFAR-10, python version",
        tuple(f"data_batch_{i}" for i in range(1, 6)),
        "test_batch",
        "batches.meta",
        names_key="label_names",
        labels_key="labels",
    ),
    CifarVersion(
        "CIFAR-10, binary version",
        tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
        "test_batch.bin",
        "batches.meta.txt",
        label_bytes=1,
    ),
    CifarVersion(
        "CIFAR-100, python version",
        ("train",),
        "test",
        "meta",
        names_key="fine_label_names",
        labels_key="fine_labels",
    ),
    CifarVersion(
        "CIFAR-100, binary version",
        ("train.bin",),
        "test.bin",
        "fine_label_names.txt",
        label_bytes=2,
    ),
)


@dataclass(frozen=True, slots=True)
class EscapedPixels:
    """The pixels of a pickle that does not have them byte for byte, as Python 3 can write them."""

    pickle: Store

    def __str__(self) -> str:
        return str(self.pickle)

    @property
    def path(self) -> Path:
        return self.pickle.path

    def open(self) -> BinaryIO:
        return io.BytesIO(_escaped(self.pickle, self.path.stat().st_mtime_ns))


@lru_cache(maxsize=6)
def _escaped(pickle: Store, _stamp: int) -> bytes:
    return _array(pickle, read_pickle(pickle)).raw.content


def cifar_version(names: Container[str]) -> CifarVersion | None:
    """Which version files of these names are, if any; some may be missing."""
    for version in VERSIONS:
        if sum(name in names for name in (version.train[0], version.test, version.meta)) >= 2:
            return version
    return None


def open_cifar(root: Path, version: CifarVersion, files: Mapping[str, Store]) -> Source:
    """List the images of a version; CIFAR-100 has its fine labels.

    The same image has the same name and bytes in either version.

    Raises:
        ExeuntError: If a file is missing, cut off, or not what it should be.
    """
    for name in (*version.train, version.test, version.meta):
        if name not in files:
            raise ExeuntError(f"{root}: {name} of {version.title} is missing")
    class_names = _class_names(version, files[version.meta])
    pools = {"train": version.train, "test": (version.test,)}
    return Source(
        root,
        "classification",
        class_names,
        {
            pool: by_name(
                sample
                for name in names
                for sample in _samples(version, name, files[name], class_names)
            )
            for pool, names in pools.items()
        },
    )


def _class_names(version: CifarVersion, store: Store) -> tuple[str, ...]:
    if version.names_key:
        listed = read_pickle(store).get(version.names_key)
        names = tuple(map(text, listed)) if isinstance(listed, list) else ()
    else:
        lines = read(store).decode("utf-8", "replace").splitlines()
        names = tuple(line.strip() for line in lines if line.strip())
    if len(names) < 2 or len(set(names)) < len(names):
        raise ExeuntError(f"{store}: at least two different class names should be here: {names}")
    return names


def _samples(
    version: CifarVersion, name: str, store: Store, class_names: Sequence[str]
) -> list[Sample]:
    array, labels = (_binary if version.label_bytes else _python)(version, store)
    for i, label in enumerate(labels):
        if not 0 <= label < len(class_names):
            raise ExeuntError(
                f"{store}: image {i} has label {label}, but there are {len(class_names)} classes "
                f"(0 to {len(class_names) - 1}) in {version.meta}"
            )
    stem = name.removesuffix(".bin")
    return [Sample(Pixels(array, i), label, f"{stem}/{i:05}") for i, label in enumerate(labels)]


def _binary(version: CifarVersion, store: Store) -> tuple[PixelArray, list[int]]:
    stride = version.label_bytes + IMAGE_BYTES
    content = read(store)
    if not content or len(content) % stride:
        raise ExeuntError(
            f"{store}: {len(content)} bytes are no whole number of images of {stride} bytes "
            f"({version.title}); it is cut off or something else"
        )
    labels = np.frombuffer(content, np.uint8)[version.label_bytes - 1 :: stride]
    return PixelArray(store, version.label_bytes, stride, SHAPE), labels.tolist()


def _python(version: CifarVersion, store: Store) -> tuple[PixelArray, list[int]]:
    found = read_pickle(store)
    array = _array(store, found)
    labels = found.get(version.labels_key)
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise ExeuntError(
            f"{store}: no list of numbers {version.labels_key!r} ({version.title}) among "
            f"{', '.join(sorted(found))}"
        )
    if len(labels) != array.shape[0]:
        raise ExeuntError(f"{store}: {len(labels)} labels for {array.shape[0]} images")
    if array.raw.offset is None:
        return PixelArray(EscapedPixels(store), 0, IMAGE_BYTES, SHAPE), labels
    return PixelArray(store, array.raw.offset, IMAGE_BYTES, SHAPE), labels


def _array(store: Store, found: Mapping[str, Any]) -> Array:
    array = found.get("data")
    if not isinstance(array, Array) or array.shape[1:] != (IMAGE_BYTES,) or not array.shape[0]:
        what = f"an array of shape {array.shape}" if isinstance(array, Array) else "no array"
        raise ExeuntError(f"{store}: {what} under 'data', where (N, {IMAGE_BYTES}) was expected")
    return array
