"""From an image to a normalised tensor as training sees it: another one each time."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageEnhance
from torch import Tensor

from exeunt.data.augmentations import Augmentation, augmented, register_augmentation
from exeunt.data.transforms import Box, Transform
from exeunt.data.trivial import trivial_augment
from exeunt.errors import ExeuntError

ERASED_AREA = (0.02, 0.33)
ERASED_RATIO = (0.3, 3.3)

register_augmentation(trivial_augment, name="trivial")


@dataclass(frozen=True)
class Augment:
    """The training transform: a random part of the image, resized, and more left to chance.

    Random resized crop after Szegedy et al., "Going deeper with convolutions" (2015), and random
    erasing after Zhong et al., "Random erasing data augmentation" (2020), both as torchvision
    defines them; so is the colour jitter.

    Attributes:
        transform: Gives the size, mode, filter and normalisation; its crop is not used.
        crop_scale: Least and largest share of the area that is kept.
        crop_ratio: Least and largest width / height of the kept part.
        flip: Whether half of the images are mirrored left to right.
        colour: Brightness, contrast and (of RGB) saturation are scaled, in random order, by
            factors between 1 - colour and 1 + colour; at least 0, at most 1.
        erase: Share of the images that lose a rectangle to the mean colour; 0 to 1.
        augmentation: What else is done to an image, after all but the erasing.

    Raises:
        ExeuntError: If a value is out of its range.
    """

    transform: Transform
    crop_scale: tuple[float, float] = (0.35, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: bool = True
    colour: float = 0.0
    erase: float = 0.0
    augmentation: Augmentation | None = None

    def __post_init__(self) -> None:
        lo, hi = self.crop_scale
        if not 0 < lo <= hi <= 1:
            raise ExeuntError(f"crop_scale must be (least, largest) in (0, 1], not {(lo, hi)}")
        lo, hi = self.crop_ratio
        if not 0 < lo <= hi < math.inf:
            raise ExeuntError(f"crop_ratio must be (least, largest) above 0, not {(lo, hi)}")
        for name in ("colour", "erase"):
            if not 0 <= getattr(self, name) <= 1:
                raise ExeuntError(f"{name} must lie in [0, 1], not at {getattr(self, name)!r}")

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Tensor:
        """Turn `image` into a float32 tensor of shape (C, H, W), by the draws of `rng`."""
        image = self.transform.prepare(image)
        image = self.transform.resample(image, self._crop(image.width, image.height, rng))
        if self.flip and rng.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self.colour:
            image = self._jitter(image, rng)
        if self.augmentation is not None:
            image = augmented(self.augmentation, image, rng)
        pixels = self.transform.normalise(image)
        if self.erase and rng.random() < self.erase:
            left, top, right, bottom = draw_box(
                image.width, image.height, ERASED_AREA, ERASED_RATIO, rng
            ) or (0, 0, 0, 0)
            pixels[:, top:bottom, left:right] = 0
        return pixels

    def _crop(self, width: int, height: int, rng: np.random.Generator) -> Box:
        """Draw the part of a width × height image to be kept; the centre if ten draws fail."""
        if box := draw_box(width, height, self.crop_scale, self.crop_ratio, rng):
            return box
        least, largest = self.crop_ratio
        w, h = width, height
        if width / height < least:
            h = max(1, round(width / least))
        elif width / height > largest:
            w = max(1, round(height * largest))
        left, top = (width - w) // 2, (height - h) // 2
        return left, top, left + w, top + h

    def _jitter(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        enhancers = [ImageEnhance.Brightness, ImageEnhance.Contrast]
        if image.mode == "RGB":
            enhancers.append(ImageEnhance.Color)
        for index in rng.permutation(len(enhancers)):
            factor = rng.uniform(1 - self.colour, 1 + self.colour)
            image = enhancers[index](image).enhance(factor)
        return image


@dataclass(frozen=True)
class Seeded:
    """A callable from image to image as an augmentation: what it draws, it draws from the seed.

    That is true of the generators of `random`, `numpy.random` and torch, on the CPU, which are left
    as they were; a generator of the callable's own is its own affair.

    Attributes:
        function: Takes an image of mode RGB or L and gives one of the same size.
    """

    function: Callable[[Image.Image], Image.Image]

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """What the function makes of `image`, in the mode that `image` has.

        Raises:
            ExeuntError: If it gives no image, or one of another size.
        """
        with _seeded(int(rng.integers(2**32))):
            result = self.function(image)
        if not isinstance(result, Image.Image):
            raise ExeuntError(
                f"augment: {self.function!r} gave a {type(result).__name__}; it must give a "
                "PIL image"
            )
        if result.size != image.size:
            raise ExeuntError(
                f"augment: {self.function!r} gave {result.width} x {result.height} pixels for "
                f"{image.width} x {image.height}; the size must stay"
            )
        return result if result.mode == image.mode else result.convert(image.mode)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Global generators begin at `seed` for a while, and then go on where they were."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=()):
        random.seed(seed)
        np.random.seed(seed)
        torch.default_generator.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def draw_box(
    width: int,
    height: int,
    area: tuple[float, float],
    ratio: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[int, int, int, int] | None:
    """Draw a box (left, top, right, bottom) within width × height pixels; None if ten draws fail.

    Args:
        width: of what the box lies in.
        height: likewise.
        area: Least and largest share of the area, drawn uniformly.
        ratio: Least and largest width / height, drawn uniformly in its logarithm.
        rng: Of the draws.
    """
    for _ in range(10):
        share = width * height * rng.uniform(*area)
        form = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w, h = round(math.sqrt(share * form)), round(math.sqrt(share / form))
        if 0 < w <= width and 0 < h <= height:
            top = int(rng.integers(height - h + 1))
            left = int(rng.integers(width - w + 1))
            return left, top, left + w, top + h
    return None
