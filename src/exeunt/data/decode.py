"""From the bytes of an image file to its pixels."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from exeunt.errors import ExeuntError

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP")


class UnreadableImage(ExeuntError):  # noqa: N818
    """Raised for what cannot be decoded as an image; the message names it."""


def load_image(path: str | Path) -> Image.Image:
    """Decode the image at `path` completely (jpeg, png, webp or bmp, told by its content).

    Raises:
        UnreadableImage: If the file is missing, corrupt, truncated, of another format, or has
            more pixels than `PIL.Image.MAX_IMAGE_PIXELS`.
    """
    try:
        with Path(path).open("rb") as file:
            return decode(file, str(path))
    except UnreadableImage:
        raise
    except Exception as error:
        raise unreadable(str(path), error) from error


def decode(file: BinaryIO, name: str) -> Image.Image:
    """Decode the image that `file` holds, as `load_image` does; `name` is for the message.

    Raises:
        UnreadableImage: As `load_image`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(file, formats=_FORMATS)
            image.load()
            return image
    except Exception as error:  # on bad bytes the decoders raise almost anything
        raise unreadable(name, error) from error


def unreadable(name: str, error: Exception) -> UnreadableImage:
    """What to raise when `error` kept the image called `name` from being read."""
    return UnreadableImage(f"{name}: not a readable image ({error})")
