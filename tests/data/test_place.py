"""An image is the same wherever it is kept, and says so when it cannot be read."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exeunt.data import (
    FilePart,
    ImageFile,
    PixelArray,
    Pixels,
    Sample,
    Transform,
    UnreadableImage,
    content_hash,
    eval_loader,
    fingerprint,
)
from exeunt.data.store import PlainFile
from exeunt.errors import ExeuntError

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (4, 5, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (4, 5), dtype=np.uint8)


def pixels(place) -> np.ndarray:
    return np.asarray(place.load())


@pytest.fixture
def places(tmp_path: Path) -> list:
    """One picture as a file, inside a larger file, and as raw pixels behind a label byte."""
    Image.fromarray(RGB).save(tmp_path / "a.png")
    png = (tmp_path / "a.png").read_bytes()
    (tmp_path / "many").write_bytes(b"before" + png + b"after")
    raw = b"\x07" + RGB.transpose(2, 0, 1).tobytes()
    (tmp_path / "raw").write_bytes(b"head" + b"\x07" + bytes(60) + raw)
    array = PixelArray(PlainFile(tmp_path / "raw"), 5, 61, (3, 4, 5))
    return [
        ImageFile(tmp_path / "a.png"),
        FilePart(PlainFile(tmp_path / "many"), 6, len(png)),
        Pixels(array, 1),
    ]


def test_the_same_picture_from_everywhere(places):
    assert all((pixels(place) == RGB).all() for place in places)
    assert [place.load().mode for place in places] == ["RGB"] * 3


def test_grey_pixels_have_one_channel(tmp_path):
    (tmp_path / "raw").write_bytes(GREY.tobytes())
    place = Pixels(PixelArray(PlainFile(tmp_path / "raw"), 0, 20, (4, 5)), 0)
    assert place.load().mode == "L"
    assert (pixels(place) == GREY).all()


def test_content_and_size(places):
    file, part, raw = places
    assert part.content() == file.content() == file.path.read_bytes()
    assert raw.content() == RGB.transpose(2, 0, 1).tobytes()
    assert all(place.size_bytes == len(place.content()) for place in places)
    assert content_hash(part) == content_hash(file)
    assert content_hash(raw) == hashlib.blake2b(raw.content(), digest_size=8).hexdigest()


def test_fingerprint_asks_for_size_only(places):
    file, part, raw = (fingerprint([Sample(place, 1, "a")]) for place in places)
    assert file == part != raw


def test_places_are_small_when_sent(places):
    for place in places:
        assert pickle.loads(pickle.dumps(place)) == place
        assert len(pickle.dumps(place)) < 500


@pytest.mark.parametrize("damage", ["gone", "short"])
def test_what_cannot_be_read(places, tmp_path, damage):
    for name in ("a.png", "many", "raw"):
        if damage == "gone":
            (tmp_path / name).unlink()
        else:
            content = (tmp_path / name).read_bytes()
            (tmp_path / name).write_bytes(content[:30])
    reason = "(no such file|cut off)"
    for place, name in zip(places, ("a.png", "many", "raw"), strict=True):
        with pytest.raises(UnreadableImage, match=f"{name}.*{reason}"):
            place.load()
    if damage == "short":
        with pytest.raises(ExeuntError, match=r"raw: ends before byte 126; it is cut off"):
            places[2].content()


def test_batches_of_all_kinds(places, tmp_path):
    samples = [Sample(place, i, str(i)) for i, place in enumerate(places)]
    samples.append(Sample(FilePart(PlainFile(tmp_path / "many"), 3, 50), 3, "broken"))
    for workers in (0, 1):
        (batch,) = eval_loader(samples, Transform((4, 5)), batch_size=4, workers=workers)
        assert [*batch.unreadable] == ["broken"]
        assert batch.images.unique(dim=0).shape == (1, 3, 4, 5)
