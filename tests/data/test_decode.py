"""Which files are images, and what the others are called."""

from __future__ import annotations

import io
import struct
import zlib
from threading import Thread

import numpy as np
import pytest
from PIL import Image, features
from PIL.PngImagePlugin import PngImageFile

from exeunt.data import UnreadableImage, decode, load_image
from exeunt.data.decode import IMAGE_SUFFIXES

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)


def encoded(kind: str, **settings: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, format=kind, **settings)
    return buffer.getvalue()


def huge(width: int, height: int) -> bytes:
    """A PNG that begins as one of this size does."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 10) + b"IDAT" + bytes(14)


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_every_suffix_is_one_of_a_format_that_is_read(tmp_path, suffix):
    image = Image.new("RGB", (9, 7), (200, 200, 200))
    path = tmp_path / f"a{suffix.upper()}"
    kind = {"format": "JPEG"} if suffix in (".jfif", ".jpe") else {}
    image.convert("1" if suffix == ".pbm" else "RGB").save(path, quality=100, **kind)
    pixels = np.asarray(load_image(path).convert("RGB")).astype(int)
    assert pixels.shape == (7, 9, 3)
    assert suffix == ".pbm" or np.abs(pixels - 200).max() <= 2


def test_avif_is_read_where_this_pillow_has_it():
    assert (".avif" in IMAGE_SUFFIXES) == bool(features.check("avif"))


def test_format_is_told_by_content(tmp_path):
    Image.new("RGB", (5, 4)).save(tmp_path / "a.jpg", format="PNG")
    assert load_image(str(tmp_path / "a.jpg")).size == (5, 4)


@pytest.mark.parametrize("kind", ["GIF", "TIFF"])
def test_the_first_of_several_images_counts(tmp_path, kind):
    first, second = Image.new("L", (4, 3), 10), Image.new("L", (4, 3), 250)
    first.save(tmp_path / "a", kind, save_all=True, append_images=[second])
    assert np.asarray(load_image(tmp_path / "a").convert("L")).tolist() == [[10] * 4] * 3


CUT = r"a damaged or cut off {} image( \(.+\))?$"
ISOBMFF = b"\0\0\0\x18ftyp%s\0\0\0\0"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "an empty file$"),
        (b"not an image", "a text file$"),
        ("größer\n".encode() * 200, "a text file$"),
        (b"<!DOCTYPE html><html>not found</html>", "a web page, no image$"),
        (b"<svg xmlns='...'>", "an SVG drawing, which is not read$"),
        (b"%PDF-1.4 ...", "a PDF document, which is not read$"),
        (ISOBMFF % b"heic", "a HEIC image, which is not read$"),
        (bytes(range(256)), "no image of a format that is read$"),
        (encoded("JPEG2000") if features.check("jpg_2000") else b"\0\0\0\x0cjP  ", "a JPEG 2000"),
        (encoded("JPEG")[:20], CUT.format("JPEG")),
        (encoded("JPEG")[:-500], CUT.format("JPEG")),
        (encoded("PNG")[:-500], CUT.format("PNG")),
        (encoded("PNG")[:300] + bytes(200) + encoded("PNG")[500:], CUT.format("PNG")),
        (encoded("WEBP")[:-500], CUT.format("WEBP")),
        (encoded("BMP")[:-500], CUT.format("BMP")),
        (encoded("GIF")[:20], CUT.format("GIF")),
        (encoded("GIF")[:-500], CUT.format("GIF")),
        (encoded("TIFF", compression="tiff_lzw")[:-500], CUT.format("TIFF")),
        (encoded("PPM")[:-500], CUT.format("PPM")),
        (huge(30000, 10000), r"an image of 30000 x 10000 pixels, 300 megapixels; at most 200 are"),
        (b"P6 99999 99999 255\n", "an image of 99999 x 99999 pixels, 10000 megapixels"),
    ],
)
def test_what_cannot_be_read_is_called_what_it_is(tmp_path, content, reason):
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(UnreadableImage, match=rf"bad\.png: {reason}") as caught:
        load_image(tmp_path / "bad.png")
    assert str(caught.value) == f"{caught.value.name}: {caught.value.reason}"
    assert "_io." not in str(caught.value)


@pytest.mark.parametrize(
    ("mode", "what"), [("F", "floating-point"), ("I", "32-bit"), ("LAB", "Lab")]
)
def test_pixels_whose_range_nothing_tells_are_refused(tmp_path, mode, what):
    Image.new(mode, (2, 2)).save(tmp_path / "a.tif")
    with pytest.raises(UnreadableImage, match=f"an image of {what} .*save it as grey or RGB"):
        load_image(tmp_path / "a.tif")


@pytest.mark.parametrize(("name", "reason"), [("gone", "there is no such file"), ("", "cannot be")])
def test_what_is_no_file(tmp_path, name, reason):
    with pytest.raises(UnreadableImage, match=f": {reason}"):
        load_image(tmp_path / name)


@pytest.mark.parametrize(("height", "readable"), [(10, True), (11, False), (30, False)])
def test_the_limit_is_that_of_the_module_not_of_pillow(tmp_path, monkeypatch, height, readable):
    Image.new("RGB", (10, height)).save(tmp_path / "a.png")
    monkeypatch.setattr(decode, "MAX_PIXELS", 100)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 7)
    if readable:
        assert load_image(tmp_path / "a.png").size == (10, 10)
    else:
        with pytest.raises(UnreadableImage, match=rf"an image of 10 x {height} pixels"):
            load_image(tmp_path / "a.png")
    assert Image.MAX_IMAGE_PIXELS == 7


def test_telephones_of_200_megapixels_pass(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(huge(16320, 12240))
    monkeypatch.setattr(PngImageFile, "load", lambda self: None)
    assert load_image(tmp_path / "a.png").size == (16320, 12240)


def test_threads_leave_the_limit_of_pillow_as_it_was(tmp_path):
    before = Image.MAX_IMAGE_PIXELS
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    threads = [
        Thread(target=lambda: [load_image(tmp_path / "a.png") for _ in range(50)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert before == Image.MAX_IMAGE_PIXELS
