"""Pixels against hand computations: orientation, modes, crops, normalisation."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from exeunt.data import Transform, load_image
from exeunt.errors import ExeuntError

RNG = np.random.default_rng(0)
RAW = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def picture(width: int, height: int) -> Image.Image:
    return Image.fromarray(RNG.integers(0, 256, (height, width, 3), dtype=np.uint8))


def to_bytes(tensor: torch.Tensor) -> np.ndarray:
    """Undo the scaling of a tensor that was not normalised: (H, W, C) in 0..255."""
    return (tensor * 255).round().permute(1, 2, 0).numpy().astype(np.uint8)


# Orientation and modes

UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_exif_orientation(tmp_path, orientation, suffix):
    image = picture(6, 4)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / f"a.{suffix}", exif=exif, lossless=True)
    expected = UPRIGHT[orientation](np.asarray(image))
    transform = Transform(expected.shape[:2], **RAW)
    assert (to_bytes(transform(load_image(tmp_path / f"a.{suffix}"))) == expected).all()


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\x08\0\0\0\x05\0"], ids=["garbage", "cut off"]
)
def test_broken_exif_is_ignored(tmp_path, exif):
    image = picture(6, 4)
    image.save(tmp_path / "a.png", exif=exif)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        tensor = Transform((4, 6), **RAW)(load_image(tmp_path / "a.png"))
    assert (to_bytes(tensor) == np.asarray(image)).all()
    assert heard == []


def test_palette_with_a_transparent_colour(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    image.save(tmp_path / "plain.png")
    image.save(tmp_path / "clear.png", transparency=1)
    image.save(tmp_path / "partly.png", transparency=b"\xff\x80")
    transform = Transform((1, 2), **RAW)
    plain = to_bytes(transform(load_image(tmp_path / "plain.png")))
    clear = to_bytes(transform(load_image(tmp_path / "clear.png")))
    partly = to_bytes(transform(load_image(tmp_path / "partly.png")))
    assert plain.tolist() == [[[10, 20, 30], [40, 50, 60]]]
    assert clear.tolist() == [[[10, 20, 30], [255, 255, 255]]]
    assert partly[0, 0].tolist() == [10, 20, 30]
    over_white = 255 + (np.array([40, 50, 60]) - 255) * 128 / 255
    assert np.abs(partly[0, 1] - over_white).max() <= 1


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_shown_on_white(mode):
    colour = (100, 100, 100) if mode == "RGBA" else (100,)
    pixels = [(*colour, alpha) for alpha in (0, 64, 255)]
    image = Image.new(mode, (3, 1))
    for x, pixel in enumerate(pixels):
        image.putpixel((x, 0), pixel)
    found = to_bytes(Transform((1, 3), **RAW)(image))[0, :, 0]
    assert np.abs(found - [255, 255 - 155 * 64 / 255, 100]).max() <= 1


def test_sixteen_bits_are_scaled_to_eight(tmp_path):
    values = np.array([[0, 257, 200 * 257, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    deep = load_image(tmp_path / "deep.png")
    for image in (deep, Image.fromarray(values.astype(np.int32))):
        tensor = Transform((1, 4), **RAW)(image)
        assert to_bytes(tensor)[0].tolist() == [[v, v, v] for v in (0, 1, 200, 255)]


def test_cmyk_jpeg(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    red, green, blue = Transform((8, 8), **RAW)(load_image(tmp_path / "a.jpg")).mean((1, 2))
    assert red > 0.9
    assert max(green, blue) < 0.1


def test_grey_from_colour_and_colour_from_grey():
    colour = Image.new("RGB", (1, 1), (255, 100, 10))
    grey = Transform((1, 1), mode="L", mean=(0.5,), std=(0.25,))(colour)
    luma = 0.299 * 255 + 0.587 * 100 + 0.114 * 10
    assert grey.shape == (1, 1, 1)
    assert abs(float(grey) - (luma / 255 - 0.5) / 0.25) < 4 / 255
    assert (to_bytes(Transform((1, 1), **RAW)(Image.new("L", (1, 1), 77))) == 77).all()
    bilevel = Image.new("1", (1, 1), 1)
    assert (to_bytes(Transform((1, 1), **RAW)(bilevel)) == 255).all()


# Geometry and normalisation


def test_by_hand():
    """Two by two pixels average to (100, 50, 200)."""
    pixels = np.array([[[0, 50, 200], [100, 50, 200]], [[200, 20, 200], [100, 80, 200]]], np.uint8)
    tensor = Transform((1, 1))(Image.fromarray(pixels))
    expected = [
        (100 / 255 - 0.485) / 0.229,
        (50 / 255 - 0.456) / 0.224,
        (200 / 255 - 0.406) / 0.225,
    ]
    assert tensor.dtype == torch.float32
    assert tensor.shape == (3, 1, 1)
    np.testing.assert_allclose(tensor.flatten(), expected, rtol=1e-5)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_same_as_resize_then_crop(interpolation):
    image = picture(72, 48)
    resample = Image.Resampling[interpolation.upper()]
    expected = np.asarray(image.resize((48, 32), resample).crop((12, 4, 36, 28))).astype(int)
    transform = Transform((24, 24), **RAW, interpolation=interpolation, crop_fraction=0.75)
    assert np.abs(to_bytes(transform(image)).astype(int) - expected).max() <= 1


def test_filters_differ():
    image = picture(72, 48)
    bilinear = Transform((24, 24))(image)
    assert not torch.allclose(bilinear, Transform((24, 24), interpolation="bicubic")(image))


@pytest.mark.parametrize(("width", "height"), [(31, 20), (20, 31), (20, 20), (50, 21)])
def test_no_blur_where_nothing_is_resized(width, height):
    image = picture(width, height)
    size = min(width, height)
    left, top = (width - size) // 2, (height - size) // 2
    expected = np.asarray(image)[top : top + size, left : left + size]
    assert (to_bytes(Transform((size, size), **RAW)(image)) == expected).all()


def test_result_that_is_not_square():
    image = picture(100, 30)
    expected = np.asarray(image)[5:25, 25:75]
    transform = Transform((20, 50), **RAW, crop_fraction=20 / 30)
    assert (to_bytes(transform(image)) == expected).all()


@given(
    st.tuples(st.integers(1, 70), st.integers(1, 70)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.floats(0.05, 1.0),
)
def test_a_plain_image_stays_plain_at_any_size(image_size, size, crop_fraction):
    transform = Transform(size, **RAW, crop_fraction=crop_fraction)
    pixels = to_bytes(transform(Image.new("RGB", image_size, (9, 99, 199))))
    assert pixels.shape == (*size, 3)
    assert (pixels == (9, 99, 199)).all()


# The record of a transform


def test_dict_round_trip():
    transform = Transform((96, 64), (0.5,), (0.25,), "bicubic", 0.875, "L")
    record = json.loads(json.dumps(transform.to_dict()))
    assert record["image_size"] == [96, 64]
    assert Transform.from_dict(record) == transform


def test_dict_is_a_closed_schema():
    record = Transform((8, 8)).to_dict()
    with pytest.raises(ExeuntError, match=r"unknown keys \['crop'\]; the keys are \['image_size'"):
        Transform.from_dict(record | {"crop": 1})
    del record["std"]
    with pytest.raises(ExeuntError, match=r"missing keys \['std'\]"):
        Transform.from_dict(record)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"image_size": (0, 8)}, r"two positive integers, not \(0, 8\)"),
        ({"image_size": 8}, "two positive integers, not 8"),
        ({"image_size": (8.0, 8.0)}, "two positive integers"),
        ({"mean": (0.5,)}, r"mean must be 3 finite numbers, not \(0.5,\)"),
        ({"mode": "L", "std": (1.0, 1.0, 1.0)}, "std must be 1 positive numbers"),
        ({"std": (1.0, 0.0, 1.0)}, "std must be 3 positive numbers"),
        ({"std": (1.0, float("nan"), 1.0)}, "std must be 3 positive numbers"),
        ({"mode": "HSV"}, "mode must be 'RGB' or 'L', not 'HSV'"),
        ({"interpolation": "lanczos"}, "must be one of bilinear, bicubic, not 'lanczos'"),
        ({"crop_fraction": 1.1}, r"crop_fraction must lie in \(0, 1\], not at 1.1"),
        ({"crop_fraction": "1"}, r"crop_fraction must lie in \(0, 1\], not at '1'"),
    ],
)
def test_faulty_transforms(values, message):
    with pytest.raises(ExeuntError, match=message):
        Transform(**{"image_size": (8, 8), **values})
