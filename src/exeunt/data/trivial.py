"""TrivialAugment (Mueller and Hutter, 2021): one operation for an image, of a strength by chance.

The operations and how strong they get are those of the paper's wide set, as torchvision has them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

STRENGTHS = 31
"""Steps between nothing and the strongest, both among them."""

_Operation = Callable[[Image.Image, float], Image.Image]


def _affine(*matrix: float) -> Callable[[Image.Image], Image.Image]:
    """Where each pixel (x, y) is taken from, as (a x + b y + c, d x + e y + f); black outside."""
    return lambda image: image.transform(
        image.size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST
    )


def _enhanced(kind: Callable[[Image.Image], ImageEnhance._Enhance]) -> _Operation:
    return lambda image, strength: kind(image).enhance(1 + strength)


SIGNED: dict[str, tuple[float, _Operation]] = {
    "ShearX": (0.99, lambda image, by: _affine(1, by, 0, 0, 1, 0)(image)),
    "ShearY": (0.99, lambda image, by: _affine(1, 0, 0, by, 1, 0)(image)),
    "TranslateX": (32.0, lambda image, by: _affine(1, 0, -int(by), 0, 1, 0)(image)),
    "TranslateY": (32.0, lambda image, by: _affine(1, 0, 0, 0, 1, -int(by))(image)),
    "Rotate": (135.0, lambda image, degrees: image.rotate(degrees)),
    "Brightness": (0.99, _enhanced(ImageEnhance.Brightness)),
    "Color": (0.99, _enhanced(ImageEnhance.Color)),
    "Contrast": (0.99, _enhanced(ImageEnhance.Contrast)),
    "Sharpness": (0.99, _enhanced(ImageEnhance.Sharpness)),
}
"""Operations that go both ways, with their strongest; pixels, degrees or shares."""

UNSIGNED: dict[str, tuple[float, _Operation]] = {
    "Identity": (0.0, lambda image, _: image),
    "Posterize": (6.0, lambda image, bits: ImageOps.posterize(image, 8 - round(bits))),
    "Solarize": (255.0, lambda image, by: ImageOps.solarize(image, 255 - by)),  # type: ignore[arg-type]
    "AutoContrast": (0.0, lambda image, _: ImageOps.autocontrast(image)),
    "Equalize": (0.0, lambda image, _: ImageOps.equalize(image)),
}
"""Those that do not: bits that are lost, and grey levels from the top that are turned over."""


def trivial_augment(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Applies one of the 14 operations to an image of mode RGB or L, by the draws of `rng`.

    Operation, strength (one of 31 steps) and sign are drawn uniformly.
    """
    names = [*SIGNED, *UNSIGNED]
    name = names[rng.integers(len(names))]
    share = rng.integers(STRENGTHS) / (STRENGTHS - 1)
    sign = rng.choice((-1, 1))
    if name in SIGNED:
        most, operation = SIGNED[name]
        return operation(image, float(sign * share * most))
    most, operation = UNSIGNED[name]
    return operation(image, float(share * most))
