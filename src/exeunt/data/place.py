"""Where one image is kept: in a file of its own, in a part of a file, or among raw pixels."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from exeunt.data.decode import decode, load_image, unreadable
from exeunt.data.store import Store, read
from exeunt.errors import ExeuntError


class Place(Protocol):
    """Where one image is kept. It holds no pixels, and can be sent to another process."""

    __slots__ = ()

    @property
    def size_bytes(self) -> int:
        """Size of `content`, told without reading it.

        Raises:
            ExeuntError: If a file is gone.
        """

    @property
    def stamp(self) -> str:
        """What fingerprints tell the image by, known without reading it: its size.

        Raises:
            ExeuntError: If a file is gone.
        """
        return str(self.size_bytes)

    def content_hash(self) -> str:
        """BLAKE2b of `content`, 16 hex characters.

        Raises:
            OSError: As `content`.
            ExeuntError: As `content`.
        """
        return hashlib.blake2b(self.content(), digest_size=8).hexdigest()

    def content(self) -> bytes:
        """The bytes as they are stored: two images are the same if theirs are.

        Raises:
            OSError: If a file cannot be read.
            ExeuntError: If a file has become too short.
        """

    def load(self) -> Image.Image:
        """Decode the image completely.

        Raises:
            UnreadableImage: If that fails, for whatever reason.
        """


@dataclass(frozen=True, slots=True)
class ImageFile(Place):
    """An image file."""

    path: Path

    @property
    def size_bytes(self) -> int:
        """Size of the file."""
        try:
            return self.path.stat().st_size
        except OSError as error:
            raise ExeuntError(f"{self.path}: cannot be read ({error.strerror})") from error

    def content(self) -> bytes:
        """The file."""
        return self.path.read_bytes()

    def load(self) -> Image.Image:
        """Decode the file."""
        return load_image(self.path)


@dataclass(frozen=True, slots=True)
class FilePart(Place):
    """An image file inside a larger one, such as a member of a tar archive.

    Attributes:
        store: The larger file, or what it unpacks to.
        offset: Where the image begins, in bytes.
        size_bytes: How long it is.
    """

    store: Store
    offset: int
    size_bytes: int

    def content(self) -> bytes:
        """The bytes of the part."""
        return read(self.store, self.offset, self.size_bytes)

    def load(self) -> Image.Image:
        """Decode the part."""
        name = f"{self.store}, bytes {self.offset} to {self.offset + self.size_bytes}"
        try:
            content = self.content()
        except (OSError, ExeuntError) as error:
            raise unreadable(name, error) from error
        return decode(io.BytesIO(content), name)


@dataclass(frozen=True, slots=True)
class PixelArray:
    """Images of one size as uncompressed 8-bit pixels.

    Attributes:
        store: What holds them.
        start: Where the first image begins, in bytes.
        stride: From the beginning of an image to that of the next, in bytes.
        shape: (H, W) of grey images, (3, H, W) of RGB images.
    """

    store: Store
    start: int
    stride: int
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Pixels(Place):
    """The image number `index` of an array, counted from 0."""

    array: PixelArray
    index: int

    @property
    def size_bytes(self) -> int:
        """One byte per pixel and channel."""
        return int(np.prod(self.array.shape))

    def content(self) -> bytes:
        """The pixels, channel by channel and row by row."""
        offset = self.array.start + self.index * self.array.stride
        return read(self.array.store, offset, self.size_bytes)

    def load(self) -> Image.Image:
        """The pixels as an image, of mode "L" or "RGB"."""
        try:
            pixels = np.frombuffer(self.content(), np.uint8).reshape(self.array.shape)
        except (OSError, ExeuntError) as error:
            raise unreadable(f"{self.array.store}, image {self.index}", error) from error
        if pixels.ndim == 3:
            pixels = np.ascontiguousarray(pixels.transpose(1, 2, 0))
        return Image.fromarray(pixels)
