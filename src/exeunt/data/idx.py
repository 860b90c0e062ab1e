"""DATA as MNIST is published: idx files of images and labels, perhaps gzipped."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from pathlib import Path

import numpy as np

from exeunt.data.place import PixelArray, Pixels
from exeunt.data.source import Sample, Source
from exeunt.data.store import Gunzipped, PlainFile, Store, read
from exeunt.errors import ExeuntError

POOLS = {"train": "train", "test": "t10k"}


def has_idx(names: Container[str]) -> bool:
    """Whether files of these names are a data set of idx files."""
    return any(
        name in names for prefix in POOLS.values() for name in _spellings(f"{prefix}-images", 3)
    )


def open_idx(root: Path) -> Source:
    """List the images of `{train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz]`; `-` may be `.`.

    Classes are the labels that occur, in their order, and are called by their numbers. Where both
    a file and its .gz are there, the .gz is not used.

    Raises:
        ExeuntError: If a file is missing, is no idx file of bytes, or does not fit its partner.
    """
    images = {pool: _images(root, prefix) for pool, prefix in POOLS.items()}
    labels = {pool: _labels(root, prefix) for pool, prefix in POOLS.items()}
    for pool in POOLS:
        (array, count), (store, found) = images[pool], labels[pool]
        if count != len(found):
            raise ExeuntError(
                f"{store}: {len(found)} labels for the {count} images of {array.store}"
            )
    digits = sorted({digit for _, found in labels.values() for digit in found})
    targets = {digit: target for target, digit in enumerate(digits)}
    pools = {pool: _samples(pool, images[pool][0], labels[pool][1], targets) for pool in POOLS}
    return Source(root, "classification", tuple(map(str, digits)), pools)


def _samples(
    pool: str, array: PixelArray, digits: Sequence[int], targets: Mapping[int, int]
) -> tuple[Sample, ...]:
    width = max(5, len(str(len(digits) - 1)))
    return tuple(
        Sample(Pixels(array, i), targets[digit], f"{pool}/{i:0{width}}")
        for i, digit in enumerate(digits)
    )


def _images(root: Path, prefix: str) -> tuple[PixelArray, int]:
    """The images of a file, and how many they are."""
    store, (count, height, width), start = _open(root, f"{prefix}-images", 3)
    return PixelArray(store, start, height * width, (height, width)), count


def _labels(root: Path, prefix: str) -> tuple[Store, list[int]]:
    store, (count,), start = _open(root, f"{prefix}-labels", 1)
    return store, np.frombuffer(read(store, start, count), np.uint8).tolist()


def _open(root: Path, what: str, dims: int) -> tuple[Store, tuple[int, ...], int]:
    """A file, the shape of its array, and where its bytes begin."""
    names = _spellings(what, dims)
    path = next((root / name for name in names if (root / name).is_file()), None)
    if path is None:
        raise ExeuntError(f"{root}: {names[0]} is missing (it may end in .gz)")
    store = Gunzipped(path) if path.suffix == ".gz" else PlainFile(path)
    start = 4 + 4 * dims
    with store.open() as file:
        header = file.read(start)
        size_bytes = file.seek(0, 2)
    magic = bytes((0, 0, 8, dims))
    if len(header) < start or header[:4] != magic:
        raise ExeuntError(
            f"{store}: not an idx file of bytes in {dims} dimension(s); it should begin with "
            f"{magic.hex()}, but does with {header[:4].hex() or 'nothing'}"
        )
    shape = tuple(int.from_bytes(header[at : at + 4], "big") for at in range(4, start, 4))
    if 0 in shape or size_bytes != start + math.prod(shape):
        raise ExeuntError(
            f"{store}: an array of shape {shape} should not be empty and take "
            f"{start + math.prod(shape)} bytes, but the file has {size_bytes}"
        )
    return store, shape, start


def _spellings(what: str, dims: int) -> list[str]:
    """The file names in use, in the order of preference."""
    names = [f"{what}{mark}idx{dims}-ubyte" for mark in "-."]
    return names + [f"{name}.gz" for name in names]
