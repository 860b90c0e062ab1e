"""The pairs (image, label) of a dataset in Python, each known by its position and its pixels."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from exeunt.data.decode import UnreadableImage
from exeunt.data.image_like import open_image
from exeunt.data.place import Place
from exeunt.errors import ExeuntError
from exeunt.progress import Bar

IMAGE_KEYS = ("image", "img")
LABEL_KEYS = ("label", "labels", "fine_label")

Label = int | float | str
"""The number of a class, a value to be predicted, or the name of a class."""


class Pairs:
    """A map-style dataset that has been read once, from its first item to its last.

    Args:
        dataset: Has a length, and at every position a pair (image, label) or a dict of them.
        title: What it is called in messages.

    Attributes:
        labels: Of the N items.
        hashes: Of their pixels; empty where the image cannot be read.
        sizes: Of the pixels, in bytes; 0 where the image cannot be read.

    Raises:
        ExeuntError: If it has no length or no items, or one is no pair or has no valid label.
    """

    def __init__(self, dataset: Any, title: str) -> None:
        self.dataset, self.title = dataset, title
        itemised = hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")
        if not itemised or isinstance(dataset, (bytes, bytearray)):
            raise ExeuntError(
                f"{title}: an object of type {type(dataset).__name__} is no dataset with a "
                "length and items; give the path of labelled images, a map-style dataset or a list "
                "of pairs "
                '(image, label), or {"train": ..., "test": ...} of these'
            )
        if not len(dataset):
            raise ExeuntError(f"{title}: the dataset is empty")
        self.labels: list[Label] = []
        self.hashes: list[str] = []
        self.sizes: list[int] = []
        with Bar(f"{title}: reading", len(dataset)) as bar:
            for index in range(len(dataset)):
                label, pixels = self._read(index)
                self.labels.append(label)
                self.sizes.append(len(pixels))
                self.hashes.append(_hash(pixels) if pixels else "")
                bar.advance()
        if self.hashes[0] and _hash(self._read(0)[1]) != self.hashes[0]:
            raise ExeuntError(
                f"{title}, item 0: has other pixels each time it is asked for; give the dataset "
                "without random transforms (training has its own)"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def where(self, index: int) -> str:
        """An item in messages."""
        return f"{self.title}, item {index}"

    def image(self, index: int) -> Image.Image:
        """The image at a position.

        Raises:
            UnreadableImage: If it cannot be read, or is not the one it was.
            ExeuntError: If it is none.
        """
        found = open_image(self._pair(index)[0])
        if _hash(_pixels(found)) != self.hashes[index]:
            raise UnreadableImage(
                self.where(index),
                "not the pixels that were here at first; does the dataset transform at random?",
            )
        return found

    def _read(self, index: int) -> tuple[Label, bytes]:
        image, label = self._pair(index)
        checked = checked_label(label, self.where(index))
        try:
            return checked, _pixels(open_image(image))
        except UnreadableImage:
            return checked, b""
        except ExeuntError as error:
            raise ExeuntError(f"{self.where(index)}: {error}") from error

    def _pair(self, index: int) -> tuple[Any, Any]:
        try:
            item = self.dataset[index]
        except Exception as error:  # it is the user's code
            raise ExeuntError(
                f"{self.where(index)}: cannot be read ({type(error).__name__}: {error})"
            ) from error
        if isinstance(item, Mapping):
            return tuple(
                item[key_among(item, keys, self.where(index))] for keys in (IMAGE_KEYS, LABEL_KEYS)
            )
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            many = f" of {len(item)}" if isinstance(item, (tuple, list)) else ""
            raise ExeuntError(
                f"{self.where(index)}: must be a pair (image, label) or "
                f'{{"image": ..., "label": ...}}, not an object of type {type(item).__name__}{many}'
            )
        return item[0], item[1]


def key_among(keys: Sequence[str] | Mapping[str, Any], wanted: Sequence[str], where: str) -> str:
    """The one of the wanted keys that is there.

    Raises:
        ExeuntError: If there are none.
    """
    found = next((key for key in wanted if key in keys), None)
    if found is None:
        raise ExeuntError(
            f"{where}: has {', '.join(map(repr, keys))}, but none of "
            f"{', '.join(map(repr, wanted))}; rename the one that is meant"
        )
    return found


def checked_label(label: Any, where: str) -> Label:
    """A label as a plain number or text.

    Raises:
        ExeuntError: If it is neither.
    """
    if isinstance(label, (Tensor, np.ndarray, np.generic)) and math.prod(label.shape) == 1:
        label = label.item()
    if isinstance(label, bool):
        return int(label)
    if isinstance(label, float) and not math.isfinite(label):
        raise ExeuntError(f"{where}: the value must be finite, not {label}")
    if not isinstance(label, (int, float, str)) or label == "":
        shown = (
            repr(label)
            if label is None or label == ""
            else f"an object of type {type(label).__name__}"
        )
        raise ExeuntError(
            f"{where}: the label must be the number (int) or name (str) of a class, or a value to "
            f"be predicted (float), not {shown}"
        )
    return label


@dataclass(frozen=True, slots=True)
class PairedImage(Place):
    """The image at a position of a dataset."""

    pairs: Pairs
    index: int

    @property
    def size_bytes(self) -> int:
        """One byte per pixel and channel; 0 for an image that cannot be read."""
        return self.pairs.sizes[self.index]

    @property
    def stamp(self) -> str:
        """The hash of the pixels."""
        return self.pairs.hashes[self.index]

    def content_hash(self) -> str:
        """That of the pixels when the dataset was read."""
        if not self.stamp:
            raise ExeuntError(f"{self.pairs.where(self.index)}: cannot be read")
        return self.stamp

    def content(self) -> bytes:
        """The pixels, channel by channel and row by row."""
        return _pixels(self.load())

    def load(self) -> Image.Image:
        """The image as the dataset gives it."""
        try:
            return self.pairs.image(self.index)
        except UnreadableImage:
            raise
        except ExeuntError as error:
            raise UnreadableImage(self.pairs.where(self.index), str(error)) from error


def _pixels(image: Image.Image) -> bytes:
    """What tells an image from another: as `PixelArray` has it, for grey and RGB."""
    if image.mode == "RGB":
        return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1)).tobytes()
    palette = image.getpalette() if image.mode in ("P", "PA") else None
    return image.tobytes() + bytes(palette or ())


def _hash(pixels: bytes) -> str:
    return hashlib.blake2b(pixels, digest_size=8).hexdigest()
