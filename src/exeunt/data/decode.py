"""From the bytes of an image file to its pixels, or to the reason why there are none."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError, features

from exeunt.errors import ExeuntError

MAX_PIXELS = 200_000_000
"""What a telephone takes at most; more is taken for an attempt to fill the memory."""

_SUFFIXES = {
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "JPEG": (".jfif", ".jpe", ".jpeg", ".jpg"),
    "PNG": (".png",),
    "PPM": (".pbm", ".pgm", ".pnm", ".ppm"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
if "avif" in features.modules and features.check("avif"):  # since Pillow 11.3, in most builds
    _SUFFIXES["AVIF"] = (".avif",)

IMAGE_SUFFIXES = tuple(sorted(suffix for kind in _SUFFIXES.values() for suffix in kind))

_OURS = (  # where it is in the file, what it is, and what it says the file is
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG", "PNG"),
    (0, b"GIF8", "GIF"),
    (8, b"WEBP", "WEBP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (4, b"ftypavi", "AVIF"),
    (0, b"BM", "BMP"),
    *((0, b"P%d%c" % (kind, space), "PPM") for kind in range(1, 7) for space in b" \n"),
)
_OTHERS = (
    (4, b"ftyphei", "a HEIC image"),
    (4, b"ftyphev", "a HEIC image"),
    (4, b"ftypmif1", "a HEIC image"),
    (4, b"ftyp", "a film"),
    (4, b"jP  ", "a JPEG 2000 image"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip file"),
)

_opening = threading.Lock()


class UnreadableImage(ExeuntError):  # noqa: N818
    """Raised for what cannot be decoded as an image.

    Attributes:
        name: What could not be decoded.
        reason: Why, in words that go after the name.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name, self.reason = name, reason

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


def load_image(path: str | Path) -> Image.Image:
    """Decode the image at `path` completely: the first one, if the file has several.

    Formats are told by content, not by name: JPEG, PNG, WebP, BMP, GIF, TIFF, PPM and its kin,
    and AVIF where this Pillow has it.

    Raises:
        UnreadableImage: If the file is missing, corrupt, truncated, of another format, or has
            more than `MAX_PIXELS` pixels.
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
            image = _open(file)
            reason = refusal(image)
            if reason is None:
                image.load()
                reason = refusal(image)
    except MemoryError as error:
        raise UnreadableImage(name, "too little memory is free to decode it") from error
    except Exception as error:  # on bad bytes the decoders raise almost anything
        if isinstance(error, OSError) and error.errno is not None:
            raise unreadable(name, error) from error
        known = isinstance(error, UnidentifiedImageError)  # its words name an object of Python's
        raise UnreadableImage(name, _what_it_is(file, "" if known else f" ({error})")) from error
    if reason is not None:
        raise UnreadableImage(name, reason)
    return image


def unreadable(name: str, error: Exception) -> UnreadableImage:
    """What to raise when `error` kept the image called `name` from being read at all."""
    if isinstance(error, FileNotFoundError):
        return UnreadableImage(name, "there is no such file")
    if isinstance(error, OSError) and error.strerror:
        return UnreadableImage(name, f"cannot be read ({error.strerror})")
    return UnreadableImage(name, f"cannot be read ({error})")


def _open(file: BinaryIO) -> Image.Image:
    """The image of a file, with its header read.

    Pillow's own limit would be below that of this module; it is a global of Pillow's, so that one
    image is opened at a time.
    """
    with _opening:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(file, formats=tuple(_SUFFIXES))
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def refusal(image: Image.Image) -> str | None:
    """Why an image is not used although Pillow reads it."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        return (
            f"an image of {width} x {height} pixels, {width * height / 1e6:.0f} megapixels; at "
            f"most {MAX_PIXELS / 1e6:.0f} are read"
        )
    if image.mode in ("F", "LAB") or (image.mode == "I" and image.format == "TIFF"):
        kind = {"F": "floating-point numbers", "I": "32-bit numbers", "LAB": "Lab colours"}
        return f"an image of {kind[image.mode]}, which is not read: save it as grey or RGB"
    return None


def _what_it_is(file: BinaryIO, details: str) -> str:
    """What a file is that is no whole image of a format that is read.

    Args:
        file: It.
        details: What the decoder says, for those of a format that is.
    """
    file.seek(0)
    content = file.read(1024)
    if not content:
        return "an empty file"
    for start, mark, kind in _OURS:
        if content.startswith(mark, start):
            if kind in _SUFFIXES:
                return f"a damaged or cut off {kind} image{details}"
            return f"an image in {kind}, which this Pillow does not read"
    for start, mark, title in _OTHERS:
        if content.startswith(mark, start):
            return f"{title}, which is not read"
    text = content.decode("utf-8", "ignore" if len(content) == 1024 else "replace").lower()
    if any(letter < " " and letter not in "\t\n\r\f" for letter in text) or "\ufffd" in text:
        return "no image of a format that is read"
    if "<svg" in text:
        return "an SVG drawing, which is not read"
    return "a web page, no image" if "<html" in text or "<!doctype" in text else "a text file"
