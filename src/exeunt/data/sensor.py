"""Photographs as the sensor of a camera would send them, with the arithmetic of the C runtime."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from exeunt.errors import ExeuntError

Bytes = NDArray[np.uint8]

_RED, _GREEN, _BLUE = 0, 1, 2
_BAYER = {
    "bayer-rggb": ((_RED, _GREEN), (_GREEN, _BLUE)),
    "bayer-bggr": ((_BLUE, _GREEN), (_GREEN, _RED)),
    "bayer-grbg": ((_GREEN, _RED), (_BLUE, _GREEN)),
    "bayer-gbrg": ((_GREEN, _BLUE), (_RED, _GREEN)),
}
_YUV = {"yuyv": (0, 1, 3), "uyvy": (1, 0, 2)}
FORMATS = ("grey", "rgb888", "rgb565", "rgb565-le", *_YUV, *_BAYER)
"""What a row may hold: `EXN_GREY` and so on, in the order of `exn_camera.h`."""

_MOST = 65535 // 255
_SPEC = re.compile(
    r"(?P<format>[a-z0-9-]+)(:(?P<width>\d{1,5})x(?P<height>\d{1,5}))?(:(?P<by>[a-z]+))?"
)


@dataclass(frozen=True)
class Sensor:
    """A camera: what its rows hold, and how a frame becomes an image of a network's size.

    Attributes:
        format: one of `FORMATS`; `rgb565` has its high byte first, `rgb565-le` its low one.
        size: (H, W) of a frame, in pixels.
        scaling: `box`, the mean of the pixels that fall together, or `nearest`, the middle one.

    Raises:
        ExeuntError: for what is no such camera.
    """

    format: str
    size: tuple[int, int] = (240, 320)
    scaling: Literal["box", "nearest"] = "box"

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ExeuntError(
                f"a sensor's format is one of {', '.join(FORMATS)}, not {self.format!r}"
            )
        if self.scaling not in ("box", "nearest"):
            raise ExeuntError(f"a sensor's scaling is box or nearest, not {self.scaling!r}")
        height, width = self.size
        odd = (self.format in _YUV or self.bayer) and width % 2
        if min(self.size) < 1 or max(self.size) > 65535 or odd or (self.bayer and height % 2):
            raise ExeuntError(
                f"a {self.format} sensor of {width}x{height} pixels: 1 to 65535, even for YUV "
                "(the width) and Bayer (both)"
            )

    @classmethod
    def parse(cls, spec: str) -> Sensor:
        """From `rgb565`, `rgb565:320x240` or `rgb565:320x240:nearest`.

        Raises:
            ExeuntError: for anything else.
        """
        found = _SPEC.fullmatch(spec)
        if found is None:
            raise ExeuntError(
                f"a sensor is FORMAT, FORMAT:WIDTHxHEIGHT or FORMAT:WIDTHxHEIGHT:SCALING, as "
                f"rgb565:320x240:box, not {spec!r}"
            )
        told = found.groupdict()
        size = (240, 320) if told["width"] is None else (int(told["height"]), int(told["width"]))
        by: Any = told["by"] or "box"
        return cls(told["format"], size, by)

    @property
    def spec(self) -> str:
        """What `parse` reads."""
        height, width = self.size
        return f"{self.format}:{width}x{height}:{self.scaling}"

    @property
    def bayer(self) -> bool:
        """Whether four pixels make one of the image."""
        return self.format in _BAYER

    def check(self, image_size: tuple[int, int]) -> None:
        """Refuses an image (H, W) that no frame gives, as `exn_camera_init` does.

        Raises:
            ExeuntError: naming both sizes.
        """
        _, _, down, across = self._crop(image_size)
        height, width = image_size
        boxes = -(-down // height), -(-across // width)
        if down < height or across < width or boxes[0] * boxes[1] * (1 + self.bayer) > _MOST:
            raise ExeuntError(
                f"the sensor {self.spec} gives no image of {width}x{height} pixels: a frame"
                f"{', of which Bayer leaves half,' if self.bayer else ''} is as large as the image "
                "or larger, and at most 16 times as large"
            )

    def image(self, photograph: Image.Image, image_size: tuple[int, int], mode: str) -> Image.Image:
        """A photograph of mode RGB as this camera would have seen it, in a network's size.

        Args:
            photograph: whose centre fills the frame.
            image_size: (H, W) of the result.
            mode: of the result, `RGB` or `L`.

        Raises:
            ExeuntError: when the frame is too small or too large.
        """
        self.check(image_size)
        height, width = self.size
        scale = min(photograph.width / width, photograph.height / height)
        w, h = scale * width, scale * height
        left, top = (photograph.width - w) / 2, (photograph.height - h) / 2
        box = left, top, min(left + w, photograph.width), min(top + h, photograph.height)
        frame = photograph.resize((width, height), Image.Resampling.BILINEAR, box=box)
        pixels = self.decode(self.encode(frame), image_size, 1 if mode == "L" else 3)
        return Image.fromarray(pixels[:, :, 0] if mode == "L" else pixels)

    def encode(self, frame: Image.Image) -> Bytes:
        """The rows (H, bytes) that the camera sends of an RGB image of its size."""
        if self.format == "grey":
            return np.asarray(frame.convert("L"))
        rgb = np.asarray(frame.convert("RGB"))
        height, width, _ = rgb.shape
        if self.format == "rgb888":
            return rgb.reshape(height, -1)
        if self.format.startswith("rgb565"):
            red, green, blue = (rgb[:, :, c].astype(np.uint16) for c in range(3))
            word = (red >> 3) << 11 | (green >> 2) << 5 | blue >> 3
            kind = "<u2" if self.format.endswith("le") else ">u2"
            return np.ascontiguousarray(word).astype(kind).view(np.uint8)
        if self.format in _YUV:
            at_y, at_u, at_v = _YUV[self.format]
            y, u, v = np.moveaxis(np.asarray(frame.convert("YCbCr")).astype(np.uint16), 2, 0)
            sent = np.empty((height, 2 * width), np.uint8)
            sent[:, at_y::2] = y
            sent[:, at_u::4] = (u[:, ::2] + u[:, 1::2] + 1) // 2
            sent[:, at_v::4] = (v[:, ::2] + v[:, 1::2] + 1) // 2
            return sent
        sent = np.empty((height, width), np.uint8)
        for row, colours in enumerate(_BAYER[self.format]):
            for column, colour in enumerate(colours):
                sent[row::2, column::2] = rgb[row::2, column::2, colour]
        return sent

    def decode(self, rows: Bytes, image_size: tuple[int, int], channels: int) -> Bytes:
        """What `exn_camera_row` makes of all rows of a frame.

        Args:
            rows: (H, bytes) of a frame.
            image_size: (H', W') of the image.
            channels: of the image, 1 or 3.

        Returns:
            The image, (H', W', channels).
        """
        values, weights = self._values(rows, channels)
        top, left, down, across = self._crop(image_size)
        values = values[top : top + down, left : left + across]
        tall, counts_down = self._reduced(values, 0, image_size[0])
        sums, counts_across = self._reduced(tall, 1, image_size[1])
        counts = counts_down[:, None, None] * counts_across[None, :, None] * np.array(weights)
        means = (sums + counts // 2) // counts
        if channels == 3:
            return np.array(np.broadcast_to(means, (*image_size, 3)), np.uint8)
        if means.shape[2] == 3:
            red, green, blue = np.moveaxis(means, 2, 0)
            means = ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16)[:, :, None]
        return np.array(means, np.uint8)

    def _values(self, rows: Bytes, channels: int) -> tuple[NDArray[np.int64], tuple[int, ...]]:
        """Colours (H, W, C) of a frame, for Bayer sums of its fours, and how many each sum has."""
        sent = rows.astype(np.int64)
        if self.format == "grey":
            return sent[:, :, None], (1,)
        if self.format == "rgb888":
            return sent.reshape(len(sent), -1, 3), (1, 1, 1)
        if self.format.startswith("rgb565"):
            high, low = sent[:, ::2], sent[:, 1::2]
            if self.format.endswith("le"):
                high, low = low, high
            red, green, blue = high >> 3, (high & 7) << 3 | low >> 5, low & 31
            parts = red << 3 | red >> 2, green << 2 | green >> 4, blue << 3 | blue >> 2
            return np.stack(parts, 2), (1, 1, 1)
        if self.format in _YUV:
            at_y, at_u, at_v = _YUV[self.format]
            if channels == 1:
                return sent[:, at_y::2, None], (1,)
            return _rgb(sent[:, at_y::2], sent[:, at_u::4], sent[:, at_v::4]), (1, 1, 1)
        found = np.zeros((len(sent) // 2, sent.shape[1] // 2, 3), np.int64)
        for row, colours in enumerate(_BAYER[self.format]):
            for column, colour in enumerate(colours):
                found[:, :, colour] += sent[row::2, column::2]
        return found, (1, 2, 1)

    def _crop(self, image_size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Top, left, height and width of the part of the frame that is taken."""
        height, width = (side // (1 + self.bayer) for side in self.size)
        down, across = height, width
        if width * image_size[0] > height * image_size[1]:
            across = height * image_size[1] // image_size[0]
        else:
            down = width * image_size[0] // image_size[1]
        return (height - down) // 2, (width - across) // 2, down, across

    def _reduced(
        self, values: NDArray[np.int64], axis: int, parts: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Values summed in so many parts along an axis, and how many each part has."""
        size, part = values.shape[axis], np.arange(parts)
        if self.scaling == "nearest":
            middle = (2 * part + 1) * size // (2 * parts)
            return values.take(middle, axis), np.ones(parts, np.int64)
        begins = part * size // parts
        counts = np.diff(begins, append=size)
        return np.add.reduceat(values, begins, axis), counts


def _rgb(y: NDArray[np.int64], u: NDArray[np.int64], v: NDArray[np.int64]) -> NDArray[np.int64]:
    """BT.601 of the full range in 65536ths, rounded; chroma (H, W / 2) is that of pairs."""
    u, v = np.repeat(u, 2, 1) - 128, np.repeat(v, 2, 1) - 128
    red = y + ((91881 * v + 32768) >> 16)
    green = y + ((-22554 * u - 46802 * v + 32768) >> 16)
    blue = y + ((116130 * u + 32768) >> 16)
    return np.stack([red, green, blue], 2).clip(0, 255)
