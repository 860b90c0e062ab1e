"""Pictures as the network takes them: the very numbers of the training side's transform."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from exeunt.runner.array import Array
from exeunt.runner.error import RunnerError

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF")


class Preprocessing:
    """From a file to an array.

    Args:
        says: the manifest's `transform`.

    Attributes:
        image_shape: (C, H, W) of what comes out.

    Raises:
        RunnerError: when sizes, mean or std are out of their range.
    """

    def __init__(self, says: dict[str, Any]) -> None:
        self._says = says
        channels = {"RGB": 3, "L": 1}[says["mode"]]
        sizes, mean, std = says["image_size"], says["mean"], says["std"]
        if len(sizes) != 2 or min(sizes) < 1 or not 0 < says["crop_fraction"] <= 1:
            raise RunnerError(f"transform: no images of {sizes} by {says['crop_fraction']}")
        if not len(mean) == len(std) == channels or min(std) <= 0:
            raise RunnerError(
                f"transform: mean {mean} and std {std} are not of {channels} channels"
            )
        self.image_shape = (channels, *sizes)

    def load(self, path: str | Path) -> Array:
        """The image in a file, the first if there are several, as the network takes it.

        Raises:
            RunnerError: when it cannot be decoded.
        """
        Image.init()
        try:
            with Path(path).open("rb") as file, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                image = Image.open(file, formats=[kind for kind in _FORMATS if kind in Image.OPEN])
                image.load()
        except UnidentifiedImageError as error:  # its words name an object of Python's
            why = f"none of {', '.join(_FORMATS)}" if Path(path).stat().st_size else "empty"
            raise RunnerError(f"{path}: not a readable image ({why})") from error
        except Exception as error:  # on bad bytes the decoders raise almost anything
            why = str(getattr(error, "strerror", None) or error)
            raise RunnerError(f"{path}: not a readable image ({why})") from error
        return self.transform(image)

    def transform(self, image: Image.Image) -> Array:
        """An image of any size and mode as the network takes it, float32 (C, H, W)."""
        says = self._says
        image = converted(upright(image), says["mode"])
        height, width = says["image_size"]
        scale = says["crop_fraction"] * min(image.width / width, image.height / height)
        w, h = min(scale * width, image.width), min(scale * height, image.height)
        kind = Image.Resampling[says["interpolation"].upper()]
        left, top = int((image.width - w) / 2), int((image.height - h) / 2)
        image = resized(image, (width, height), kind, (left, top, left + w, top + h))
        pixels = np.asarray(image).reshape(height, width, -1).astype(np.float32)
        mean, std = np.array(says["mean"], np.float32), np.array(says["std"], np.float32)
        return np.ascontiguousarray(((pixels / np.float32(255) - mean) / std).transpose(2, 0, 1))


def resized(
    image: Image.Image,
    size: tuple[int, int],
    kind: Image.Resampling,
    box: tuple[float, float, float, float],
) -> Image.Image:
    """The part of an image in a box (left, top, right, bottom), resized to (width, height): across
    first and then down, whatever the shape. Left to itself, Pillow 13 takes tall images down first,
    which rounds differently from Pillow 12 and from what runs in browsers.
    """
    (width, height), (left, top, right, bottom) = size, box
    across = image.resize((width, image.height), kind, box=(left, 0, right, image.height))
    return across.resize((width, height), kind, box=(0, top, width, bottom))


def upright(image: Image.Image) -> Image.Image:
    """An image as its camera was held; as it is where that cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ImageOps.exif_transpose(image)
    except Exception:  # broken EXIF says nothing about the orientation
        return image


def converted(image: Image.Image, mode: str) -> Image.Image:
    """An image in "RGB" or "L": 16 bits become 8, what is transparent lies on white."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        pixels = np.clip(np.asarray(image, dtype=np.float64) / 257, 0, 255)
        image = Image.fromarray(np.rint(pixels).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)
