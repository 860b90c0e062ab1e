"""Kept images are decoded once, are the same images, and take no more memory than they may."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from exeunt.data import (
    Augment,
    ImageFile,
    Sample,
    Transform,
    UnreadableImage,
    fingerprint,
    train_loader,
)
from exeunt.data.kept import Room, kept

SIDES = (24, 32)


@pytest.fixture
def samples(tmp_path: Path) -> tuple[Sample, ...]:
    """Six photographs, one of them to be turned by its EXIF and one with a transparent part."""
    rng = np.random.default_rng(0)
    found = []
    for k in range(6):
        channels = 4 if k == 1 else 3
        image = Image.fromarray(rng.integers(0, 256, (*SIDES, channels), dtype=np.uint8))
        exif = Image.Exif()
        exif[0x0112] = 6 if k == 0 else 1
        image.save(tmp_path / f"{k}.png", exif=exif)
        found.append(Sample(ImageFile(tmp_path / f"{k}.png"), k % 2, f"{k}.png"))
    return tuple(found)


def epochs(samples: tuple[Sample, ...]) -> list[torch.Tensor]:
    loader = train_loader(samples, Augment(Transform((16, 16))), batch_size=3, seed=7)
    images = []
    for epoch in range(2):
        loader.set_epoch(epoch)
        images += [batch.images for batch in loader]
    return images


def test_the_same_batches_come_from_fewer_files(
    samples: tuple[Sample, ...], tmp_path: Path
) -> None:
    expected = epochs(samples)
    room = Room()
    once = kept(samples, room)
    assert fingerprint(once) == fingerprint(samples)
    assert [one.place.content_hash() for one in once] == [s.place.content_hash() for s in samples]
    first = epochs(once)
    for file in tmp_path.iterdir():
        file.unlink()
    for images in (first, epochs(once)):
        assert all(torch.equal(a, b) for a, b in zip(images, expected, strict=True))
    assert Room().free_bytes - room.free_bytes == 6 * 4 * SIDES[0] * SIDES[1]
    sent = epochs(pickle.loads(pickle.dumps(once)))
    assert all(torch.equal(a, b) for a, b in zip(sent, first, strict=True))


def test_what_finds_no_room_is_decoded_again(samples: tuple[Sample, ...], tmp_path: Path) -> None:
    room = Room(2 * 4 * SIDES[0] * SIDES[1] + 100)
    some = kept(samples, room)
    for sample in some:
        sample.place.load()
    assert room.free_bytes == 100
    for file in tmp_path.iterdir():
        file.unlink()
    for sample in some[:2]:
        sample.place.load()
    with pytest.raises(UnreadableImage, match="no such file"):
        some[2].place.load()
    assert 0 < Room.of_this_machine(4).free_bytes <= Room.of_this_machine().free_bytes // 3
