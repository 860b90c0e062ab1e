"""MNIST's files, written here by their description and by the real images."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from exeunt.data import content_hash, fingerprint, open_source
from exeunt.errors import ExeuntError

MNIST = Path(__file__).parents[3] / "shared" / "data" / "mnist.npz"


def idx(array: np.ndarray) -> bytes:
    """A file as yann.lecun.com described it: magic, dimensions, bytes."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def digits(n: int, labels: tuple[int, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    images = np.random.default_rng(seed).integers(0, 256, (n, 6, 5), dtype=np.uint8)
    return images, np.resize(np.array(labels, np.uint8), n)


def write(root: Path, pools=None, mark: str = "-", end: str = "") -> Path:
    pools = pools or {"train": digits(9, (7, 0, 2), 0), "t10k": digits(6, (0, 2, 7), 1)}
    pack = gzip.compress if end else bytes
    for pool, (images, labels) in pools.items():
        (root / f"{pool}-images{mark}idx3-ubyte{end}").write_bytes(pack(idx(images)))
        (root / f"{pool}-labels{mark}idx1-ubyte{end}").write_bytes(pack(idx(labels)))
    return root


def test_pixels_labels_and_names(tmp_path):
    source = open_source(write(tmp_path))
    assert (source.root, source.task) == (tmp_path, "classification")
    assert source.class_names == ("0", "2", "7")
    assert [len(source.pools[pool]) for pool in ("train", "test")] == [9, 6]
    train, test = source.pools["train"], source.pools["test"]
    assert [sample.name for sample in train[:2]] == ["train/00000", "train/00001"]
    assert [sample.target for sample in train[:4]] == [2, 0, 1, 2]
    assert [sample.target for sample in test[:4]] == [0, 1, 2, 0]
    for samples, seed in ((train, 0), (test, 1)):
        images, _ = digits(len(samples), (0,), seed)
        for sample, expected in zip(samples, images, strict=True):
            image = sample.place.load()
            assert image.mode == "L"
            assert (np.asarray(image) == expected).all()


def test_every_spelling_gives_the_same(tmp_path):
    sources = []
    for mark in "-.":
        for end in ("", ".gz"):
            folder = tmp_path / f"as{mark}{end}"
            folder.mkdir()
            sources.append(open_source(write(folder, mark=mark, end=end)))
    prints = {fingerprint(s for pool in one.pools.values() for s in pool) for one in sources}
    hashes = {content_hash(one.pools["train"][4].place) for one in sources}
    assert len(prints) == len(hashes) == 1


def test_unpacked_files_are_preferred(tmp_path):
    write(tmp_path)
    for name in ("train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        (tmp_path / f"{name}.gz").write_bytes(b"broken")
    assert len(open_source(tmp_path).pools["train"]) == 9


TRAIN, LABELS = "train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (LABELS, None, f"{LABELS} is missing"),
        (TRAIN, b"", f"{TRAIN}: not an idx file .* begin with 00000803, but does with nothing"),
        (TRAIN, idx(np.zeros(9, np.uint8)), "but does with 00000801"),
        (LABELS, b"\0\0\x0d\x01" + bytes(4), "but does with 00000d01"),
        (TRAIN, idx(np.zeros((0, 6, 5), np.uint8)), r"\(0, 6, 5\) should not be empty"),
        (TRAIN, idx(np.zeros((9, 6, 5), np.uint8))[:-1], "take 286 bytes, but the file has 285"),
        (TRAIN, idx(np.zeros((9, 6, 5), np.uint8)) + b"x", "take 286 bytes, but the file has 287"),
        (LABELS, idx(np.zeros(5, np.uint8)), f"{LABELS}: 5 labels for the 6 images of .*t10k-ima"),
    ],
)
def test_faulty_files(tmp_path, name, content, message):
    write(tmp_path)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ExeuntError, match=message):
        open_source(tmp_path)


def test_one_label_only(tmp_path):
    write(tmp_path, {pool: digits(3, (4,), 0) for pool in ("train", "t10k")})
    with pytest.raises(ExeuntError, match="only one class, '4'; at least two"):
        open_source(tmp_path)


@pytest.mark.skipif(not MNIST.is_file(), reason="the image set mnist.npz is not here")
def test_mnist_pixel_for_pixel(tmp_path):
    """The label file's md5 is the official one: `write` writes what was published."""
    import hashlib

    stored = np.load(MNIST)
    images, labels, n = stored["X"], stored["y"].astype(np.uint8), int(stored["n_train"])
    assert hashlib.md5(idx(labels[:n])).hexdigest() == "a25bea736e30d166cdddb491f175f624"
    images, labels = images[n - 9000 :], labels[n - 9000 :]
    pools = {"train": (images[:9000], labels[:9000]), "t10k": (images[9000:], labels[9000:])}
    source = open_source(write(tmp_path, pools))
    assert source.class_names == tuple("0123456789")
    samples = [*source.pools["train"], *source.pools["test"]]
    assert [sample.target for sample in samples] == labels.tolist()
    for i in range(0, len(images), 17):
        assert (np.asarray(samples[i].place.load()) == images[i]).all()


def test_the_folder_in_which_torchvision_keeps_it(tmp_path):
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    write(raw)
    outer, inner = open_source(tmp_path), open_source(raw)
    assert (outer.root, outer.samples) == (raw, inner.samples)
    assert open_source(tmp_path / "FashionMNIST").samples == inner.samples
