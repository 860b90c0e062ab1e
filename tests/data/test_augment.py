"""Crops, mirrors, colours and erased parts against hand computations and their distributions."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from PIL import Image

from exeunt.data import Augment, Transform
from exeunt.errors import ExeuntError

RAW = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
WHOLE = {"crop_scale": (1.0, 1.0), "crop_ratio": (1.0, 1.0), "flip": False}


def picture(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@dataclass(frozen=True)
class Spy(Transform):
    """Notes which part of the image is asked for."""

    boxes: list = field(default_factory=list)

    def resample(self, image, box):
        self.boxes.append(box)
        return super().resample(image, box)


def boxes(image: Image.Image, count: int, **options) -> np.ndarray:
    spy = Spy((4, 4))
    augment = Augment(spy, **options)
    rng = np.random.default_rng(0)
    for _ in range(count):
        augment(image, rng)
    return np.array(spy.boxes, dtype=float)


def test_crops_have_the_asked_area_shape_and_place():
    size = 400  # a square of at most half the area always fits, so the first draw counts
    left, top, right, bottom = boxes(
        Image.new("RGB", (size, size)), 500, crop_scale=(0.2, 0.5), crop_ratio=(0.5, 2.0)
    ).T
    w, h = right - left, bottom - top
    area, ratio = w * h / size**2, w / h
    assert min(left.min(), top.min()) >= 0
    assert max(right.max(), bottom.max()) <= size
    assert 0.198 < area.min() < 0.21
    assert 0.49 < area.max() < 0.502
    assert abs(area.mean() - 0.35) < 0.015
    assert 0.497 < ratio.min() < 0.55
    assert 1.8 < ratio.max() < 2.01
    assert abs(np.log(ratio).mean()) < 0.07
    assert abs((left / (size - w)).mean() - 0.5) < 0.05
    assert abs((top / (size - h)).mean() - 0.5) < 0.05


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (400, 21, (186, 0, 214, 21)),  # 21 · 4/3 = 28 wide
        (21, 400, (0, 186, 21, 214)),
        (44, 40, (0, 0, 44, 40)),  # 1.1 is an allowed ratio
    ],
)
def test_centre_is_kept_when_no_crop_fits(width, height, expected):
    """The whole area with a ratio that the image does not have never fits."""
    found = boxes(Image.new("RGB", (width, height)), 20, crop_scale=(1.0, 1.0))
    assert (found == expected).all()


def test_whole_square_unmirrored_is_the_evaluation_transform():
    image = picture(50, 50)
    transform = Transform((16, 16))
    augment = Augment(transform, **WHOLE)
    assert torch.equal(augment(image, np.random.default_rng(0)), transform(image))


def test_half_of_the_images_are_mirrored():
    image = picture(16, 16)
    transform = Transform((16, 16))
    augment = Augment(transform, crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0))
    plain = transform(image)
    rng = np.random.default_rng(0)
    mirrored = 0
    for _ in range(400):
        tensor = augment(image, rng)
        if torch.equal(tensor, plain.flip(2)):
            mirrored += 1
        else:
            assert torch.equal(tensor, plain)
    assert 160 < mirrored < 240


def test_augmented_image_is_upright_and_normalised():
    image = Image.new("RGBA", (30, 20), (255, 0, 0, 0))
    tensor = Augment(Transform((6, 5)))(image, np.random.default_rng(0))
    white = [(1 - m) / s for m, s in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))]
    assert tensor.shape == (3, 6, 5)
    torch.testing.assert_close(tensor.mean((1, 2)), torch.tensor(white))


def test_augmentation_depends_on_the_generator_alone():
    image = picture(40, 30)
    augment = Augment(Transform((8, 8)))
    first, again, other = (augment(image, np.random.default_rng(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_colours_of_one_grey_change_by_brightness_alone():
    """Contrast turns about the mean and saturation about the grey: both leave one grey alone."""
    image = Image.new("RGB", (8, 8), (100, 100, 100))
    augment = Augment(Transform((8, 8), **RAW), **WHOLE, colour=0.3)
    rng = np.random.default_rng(0)
    levels = []
    for _ in range(400):
        pixels = augment(image, rng) * 255
        assert (pixels == pixels[0, 0, 0]).all()
        levels.append(pixels[0, 0, 0].item())
    assert 69.9 <= min(levels) < 73
    assert 127 < max(levels) <= 130.1
    assert abs(np.mean(levels) - 100) < 3


def test_contrast_and_saturation_change_too():
    """Left of the step dark, right of it bright: the ratio of both tells of contrast; the distance
    of the channels of saturation.
    """
    image = Image.new("RGB", (8, 8), (60, 60, 60))
    image.paste((120, 120, 120), (4, 0, 8, 8))
    augment = Augment(Transform((8, 8), **RAW), **WHOLE, colour=0.4)
    rng = np.random.default_rng(0)
    ratios = [(p[0, 0, 7] / p[0, 0, 0]).item() for p in (augment(image, rng) for _ in range(100))]
    assert min(ratios) < 1.6
    assert max(ratios) > 2.4
    red = Image.new("RGB", (8, 8), (150, 50, 50))
    saturations = [
        (1 - p[1, 0, 0] / p[0, 0, 0]).item() for p in (augment(red, rng) for _ in range(100))
    ]
    assert min(saturations) < 0.6 < 0.7 < max(saturations)  # 2/3 as it was


def test_one_channel_has_brightness_and_contrast():
    image = picture(8, 8).convert("L")
    tensor = Augment(Transform((8, 8), mode="L"), **WHOLE, colour=0.5)(
        image, np.random.default_rng(1)
    )
    assert tensor.shape == (1, 8, 8)
    assert not torch.equal(tensor, Transform((8, 8), mode="L")(image))


def test_erased_parts_are_boxes_of_the_mean_colour():
    image = Image.new("RGB", (60, 60), "white")
    augment = Augment(Transform((60, 60)), **WHOLE, erase=0.4)
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(500):
        gone = augment(image, rng) == 0
        assert (gone == gone[0]).all()
        rows, columns = gone[0].any(1).sum().item(), gone[0].any(0).sum().item()
        assert gone[0].sum() == rows * columns
        if rows:
            shares.append(rows * columns / 3600)
            assert 0.27 < columns / rows < 3.6
    assert 160 < len(shares) < 240
    assert 0.015 < min(shares) < 0.04
    assert 0.29 < max(shares) < 0.34


def test_without_colour_and_erasing_the_same_crops_are_drawn():
    image = picture(40, 30)
    transform = Transform((8, 8))
    plain = Augment(transform)(image, np.random.default_rng(3))
    erased = Augment(transform, erase=1.0)(image, np.random.default_rng(3))
    kept = erased[0] != 0
    assert torch.equal(plain[:, kept], erased[:, kept])
    assert 0 < kept.sum() < 64


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"crop_scale": (0.0, 1.0)}, r"crop_scale must be .* not \(0.0, 1.0\)"),
        ({"crop_scale": (0.5, 1.5)}, r"crop_scale must be .* not \(0.5, 1.5\)"),
        ({"crop_ratio": (2.0, 1.0)}, r"crop_ratio must be .* not \(2.0, 1.0\)"),
        ({"colour": 1.5}, r"colour must lie in \[0, 1\], not at 1.5"),
        ({"erase": -0.1}, r"erase must lie in \[0, 1\], not at -0.1"),
    ],
)
def test_faulty_augmentations(values, message):
    with pytest.raises(ExeuntError, match=message):
        Augment(Transform((8, 8)), **values)
