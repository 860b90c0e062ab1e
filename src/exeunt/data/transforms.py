"""From an image to a normalised tensor, the same way in training and everywhere else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from exeunt.data.sensor import Sensor
from exeunt.errors import ExeuntError
from exeunt.runner.preprocessing import converted, resized, upright

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
GREY_MEAN = (0.449,)
GREY_STD = (0.226,)

Box = tuple[float, float, float, float]

MOST_PIXELS = 8192
"""Of a side of what a network takes."""

_FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


@dataclass(frozen=True)
class Transform:
    """The evaluation transform: upright, resized, centre-cropped, normalised.

    The shorter side is resized to `image_size / crop_fraction` and the centre is cut out. Both
    are done at once, by resampling the centred part of the image that has the shape of
    `image_size`. Transparent pixels are shown on white, 16-bit grey is scaled to 8 bits.

    Attributes:
        image_size: (H, W) of the result, in pixels.
        mean: Subtracted from values in 0..1, one per channel; by default ImageNet's.
        std: Divides what is left, one per channel; by default ImageNet's.
        interpolation: Resampling filter, antialiased.
        crop_fraction: Share of the shorter side that is kept, in (0, 1].
        mode: "RGB" or "L" (one channel of luma, ITU-R 601).
        sensor: A camera that photographs are shown to first (`Sensor`), its frame cut and reduced
            as the C runtime does it, which knows no `interpolation` and no `crop_fraction`; None
            for photographs as they are.

    Raises:
        ExeuntError: If a value is out of its range.
    """

    image_size: tuple[int, int]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    crop_fraction: float = 1.0
    mode: Literal["RGB", "L"] = "RGB"
    sensor: Sensor | None = None

    def __post_init__(self) -> None:
        if self.mode not in ("RGB", "L"):
            raise ExeuntError(f"mode must be 'RGB' or 'L', not {self.mode!r}")
        if not isinstance(self.interpolation, str) or self.interpolation not in _FILTERS:
            raise ExeuntError(
                f"interpolation must be one of {', '.join(_FILTERS)}, not {self.interpolation!r}"
            )
        sizes = self.image_size
        if not (_numbers(sizes, 2, int) and min(sizes) >= 1 and max(sizes) <= MOST_PIXELS):
            raise ExeuntError(
                f"image_size must be (height, width), two positive integers, not {sizes}, "
                f"of at most {MOST_PIXELS}"
            )
        rgb = self.mode == "RGB"
        if self.mean == ():
            object.__setattr__(self, "mean", IMAGENET_MEAN if rgb else GREY_MEAN)
        if self.std == ():
            object.__setattr__(self, "std", IMAGENET_STD if rgb else GREY_STD)
        if not _numbers(self.mean, self.channels, float):
            raise ExeuntError(f"mean must be {self.channels} finite numbers, not {self.mean}")
        if not (_numbers(self.std, self.channels, float) and min(self.std) > 0):
            raise ExeuntError(f"std must be {self.channels} positive numbers, not {self.std}")
        if not (_numbers((self.crop_fraction,), 1, float) and 0 < self.crop_fraction <= 1):
            raise ExeuntError(f"crop_fraction must lie in (0, 1], not at {self.crop_fraction!r}")
        if self.sensor is not None:
            self.sensor.check(self.image_size)

    @property
    def channels(self) -> int:
        """Channels of the result."""
        return 3 if self.mode == "RGB" else 1

    def __call__(self, image: Image.Image) -> Tensor:
        """Turn `image` into a float32 tensor of shape (C, H, W)."""
        return self.normalise(self.pixels(image))

    def pixels(self, image: Image.Image) -> Image.Image:
        """Prepare `image` and cut it to `image_size`: all but the arithmetic."""
        if self.sensor is not None:
            return self.sensor.image(converted(upright(image), "RGB"), self.image_size, self.mode)
        image = self.prepare(image)
        height, width = self.image_size
        kind, box = _FILTERS[self.interpolation], self._centre(image.width, image.height)
        return resized(image, (width, height), kind, box)

    def prepare(self, image: Image.Image) -> Image.Image:
        """Turn `image` upright (EXIF) and convert it to `mode`."""
        return converted(upright(image), self.mode)

    def resample(self, image: Image.Image, box: Box) -> Image.Image:
        """Resize the part of `image` in `box` (left, top, right, bottom) to `image_size`."""
        height, width = self.image_size
        return image.resize((width, height), _FILTERS[self.interpolation], box=box)

    def normalise(self, image: Image.Image) -> Tensor:
        """Scale to 0..1, subtract `mean`, divide by `std`; gives float32 (C, H, W)."""
        return self.normalise_pixels(np.asarray(image).reshape(image.height, image.width, -1))

    def normalise_pixels(self, pixels: NDArray[np.uint8]) -> Tensor:
        """The same for the bytes (H, W, C) of an image."""
        mean, std = (np.array(part, np.float32)[:, None, None] for part in (self.mean, self.std))
        values = pixels.transpose(2, 0, 1).astype(np.float32, order="C")
        values /= np.float32(255)
        values -= mean
        values /= std
        return torch.from_numpy(values)

    def to_dict(self) -> dict[str, Any]:
        """All fields, ready for JSON or TOML; the sensor, as `Sensor.parse` reads it, if any."""
        values = asdict(self) | {"sensor": None if self.sensor is None else self.sensor.spec}
        if self.sensor is None:
            del values["sensor"]
        return {key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Transform:
        """Build a transform from what `to_dict` gave.

        Raises:
            ExeuntError: If a key is unknown or missing, or a value is not valid.
        """
        names = [field.name for field in fields(cls)]
        if unknown := sorted(set(values) - set(names)):
            raise ExeuntError(f"transform: unknown keys {unknown}; the keys are {names}")
        if missing := [name for name in names if name not in values and name != "sensor"]:
            raise ExeuntError(f"transform: missing keys {missing}")
        arguments: dict[str, Any] = {
            key: tuple(v) if isinstance(v, list) else v for key, v in values.items()
        }
        if isinstance(arguments.get("sensor"), str):
            arguments["sensor"] = Sensor.parse(arguments["sensor"])
        return cls(**arguments)

    def _centre(self, width: int, height: int) -> Box:
        """The centred part of a width × height image that is to be kept."""
        out_height, out_width = self.image_size
        scale = self.crop_fraction * min(width / out_width, height / out_height)
        w, h = min(scale * out_width, width), min(scale * out_height, height)
        left, top = int((width - w) / 2), int((height - h) / 2)  # whole pixels: no blur at scale 1
        return left, top, left + w, top + h


def _numbers(value: Any, count: int, kind: type[int] | type[float]) -> bool:
    """Whether `value` is a tuple of `count` finite numbers (integers if `kind` is int)."""
    allowed = (int,) if kind is int else (int, float)
    return (
        isinstance(value, tuple)
        and len(value) == count
        and all(isinstance(item, allowed) and math.isfinite(item) for item in value)
    )
