"""CIFAR's four publications give the same images, names and labels, packed or not."""

from __future__ import annotations

import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exeunt.data import Source, SplitSpec, content_hash, fingerprint, make_splits, open_source
from exeunt.errors import ExeuntError

SHARED = Path(__file__).parents[3] / "shared" / "data"

Pool = tuple[np.ndarray, list[int]]
NAMES = ["beaver", "dolphin", "otter"]
CLASSES_10 = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
TRAIN_10 = [f"data_batch_{i}" for i in range(1, 6)]


def pool(seed: int, n: int = 6) -> Pool:
    """Images (N 3 32 32) and labels."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8), [i % 3 for i in range(n)]


POOLS_10 = {name: pool(seed) for seed, name in enumerate([*TRAIN_10, "test_batch"])}
POOLS_100 = {"train": pool(0, 30), "test": pool(1)}


def python_10(root: Path, pools: dict[str, Pool] = POOLS_10, names=NAMES, dump=pickle.dumps):
    for name, (images, labels) in pools.items():
        batch = {
            "batch_label": f"of {name}",
            "labels": labels,
            "data": images.reshape(len(images), -1),
            "filenames": [f"{i}.png" for i in range(len(images))],
        }
        (root / name).write_bytes(dump(batch))
    meta = {"num_cases_per_batch": 6, "label_names": names, "num_vis": 3072}
    (root / "batches.meta").write_bytes(dump(meta))
    (root / "readme.html").write_text("about")


def binary_10(root: Path, pools: dict[str, Pool] = POOLS_10, names=NAMES):
    for name, (images, labels) in pools.items():
        records = [bytes([label]) + x.tobytes() for x, label in zip(images, labels, strict=True)]
        (root / f"{name}.bin").write_bytes(b"".join(records))
    (root / "batches.meta.txt").write_text("\n".join(names) + "\n\n")


def python_100(root: Path, pools: dict[str, Pool] = POOLS_100, names=NAMES, dump=pickle.dumps):
    for name, (images, labels) in pools.items():
        batch = {
            "filenames": [f"{i}.png" for i in range(len(images))],
            "batch_label": f"of {name}",
            "fine_labels": labels,
            "coarse_labels": [0] * len(labels),
            "data": images.reshape(len(images), -1),
        }
        (root / name).write_bytes(dump(batch))
    meta = {"fine_label_names": names, "coarse_label_names": ["aquatic_mammals"]}
    (root / "meta").write_bytes(dump(meta))
    (root / "file.txt~").write_text("")


def binary_100(root: Path, pools: dict[str, Pool] = POOLS_100, names=NAMES):
    for name, (images, labels) in pools.items():
        records = [bytes([9, label]) + x.tobytes() for x, label in zip(images, labels, strict=True)]
        (root / f"{name}.bin").write_bytes(b"".join(records))
    (root / "fine_label_names.txt").write_text("\n".join(names) + "\n")
    (root / "coarse_label_names.txt").write_text("aquatic_mammals\n")


def folder(root: Path, write: Callable, *arguments, **options) -> Path:
    root.mkdir()
    write(root, *arguments, **options)
    return root


def packed(root: Path) -> Path:
    """The .tar.gz of a folder, as published."""
    path = root.parent / f"{root.name}.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(root, arcname=root.name)
    return path


def check(source: Source, pools: dict[str, Pool]) -> None:
    assert (source.task, source.class_names) == ("classification", tuple(NAMES))
    *train, test = pools
    for split, names in (("train", train), ("test", [test])):
        samples = iter(source.pools[split])
        for name in names:
            for i, (image, label) in enumerate(zip(*pools[name], strict=True)):
                sample = next(samples)
                assert (sample.name, sample.target) == (f"{name}/{i:05}", label)
                loaded = sample.place.load()
                assert loaded.mode == "RGB"
                assert (np.asarray(loaded) == image.transpose(1, 2, 0)).all()
        assert next(samples, None) is None


def digests(source: Source) -> tuple[str, str]:
    everything = [sample for samples in source.pools.values() for sample in samples]
    return fingerprint(everything), "".join(content_hash(sample.place) for sample in everything)


@pytest.mark.parametrize(
    ("python", "binary", "pools"),
    [(python_10, binary_10, POOLS_10), (python_100, binary_100, POOLS_100)],
    ids=["CIFAR-10", "CIFAR-100"],
)
def test_every_publication_gives_the_same(tmp_path, python, binary, pools):
    folders = [folder(tmp_path / "py", python), folder(tmp_path / "bin", binary)]
    found = set()
    for path in (*folders, *map(packed, folders)):
        source = open_source(path)
        assert source.root == path
        check(source, pools)
        found.add(digests(source))
    assert len(found) == 1


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("as_bytes", [False, True])
def test_every_protocol_gives_the_same(tmp_path, protocol, as_bytes):
    def encoded(value):
        if isinstance(value, str):
            return value.encode("latin-1")
        return [encoded(item) for item in value] if isinstance(value, list) else value

    def dump(value: dict) -> bytes:
        if as_bytes:
            value = {encoded(key): encoded(part) for key, part in value.items()}
        return pickle.dumps(value, protocol)

    source = open_source(folder(tmp_path / "py", python_100, dump=dump))
    check(source, POOLS_100)
    sample = source.pools["test"][3]
    assert len(pickle.dumps(sample)) < 600  # no pixels, even where the file escapes them
    assert content_hash(pickle.loads(pickle.dumps(sample)).place) == content_hash(sample.place)


def test_splits(tmp_path):
    source = open_source(folder(tmp_path / "bin", binary_10))
    splits = make_splits(source, SplitSpec())
    assert splits.test == source.pools["test"]
    assert len(splits.train) + len(splits.calibration) == 30
    assert {sample.target for sample in splits.calibration} == {0, 1, 2}


def test_malicious_file_is_refused(tmp_path):
    import os

    class Malicious:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "mark"),)

    root = folder(tmp_path / "py", python_10)
    for name in ("batches.meta", "data_batch_3"):
        python_10(root)
        (root / name).write_bytes(pickle.dumps({"data": Malicious()}))
        with pytest.raises(ExeuntError, match=rf"{name}: refers to \w+\.mkdir at byte"):
            open_source(root)
    assert not (tmp_path / "mark").exists()


def changed(**parts: object) -> Callable[[dict], bytes]:
    return lambda batch: pickle.dumps(batch | {key: parts[key] for key in parts if key in batch})


IMAGES = POOLS_100["train"][0].reshape(30, -1)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"fine_labels": [0] * 29 + [3]}, r"train: image 29 has label 3, .* 3 classes \(0 to 2\)"),
        ({"fine_labels": [-1] * 30}, "train: image 0 has label -1"),
        ({"fine_labels": [0] * 29}, "train: 29 labels for 30 images"),
        ({"fine_labels": "cat"}, "no list of numbers 'fine_labels'"),
        ({"fine_labels": ["cat"] * 30}, "no list of numbers 'fine_labels'"),
        ({"data": [1, 2]}, "no array under 'data'"),
        ({"data": IMAGES[:, 1:]}, r"shape \(30, 3071\) under 'data', where \(N, 3072\)"),
        ({"data": IMAGES[:0]}, r"shape \(0, 3072\) under 'data'"),
        ({"fine_label_names": "cat"}, "meta: at least two different class names"),
        ({"fine_label_names": ["cat"]}, "meta: at least two different class names"),
        ({"fine_label_names": ["cat", "cat"]}, "meta: at least two different class names"),
    ],
)
def test_faulty_python_files(tmp_path, parts, message):
    with pytest.raises(ExeuntError, match=message):
        open_source(folder(tmp_path / "py", python_100, dump=changed(**parts)))


@pytest.mark.parametrize("write", [python_10, binary_10, python_100, binary_100])
def test_missing_and_truncated_files(tmp_path, write):
    root = folder(tmp_path / "cifar", write)
    names = sorted(file.name for file in root.iterdir() if file.stat().st_size > 100)
    for name in names[1:]:
        content = (root / name).read_bytes()
        (root / name).write_bytes(content[:-40])
        with pytest.raises(ExeuntError, match=f"{name}: .*(not a whole pickle|no whole number)"):
            open_source(root)
        (root / name).unlink()
        with pytest.raises(ExeuntError, match=f"{name} of CIFAR-.* version is missing"):
            open_source(root)
        (root / name).write_bytes(content)


def test_other_archives(tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo("a.png")
        tar.addfile(member, io.BytesIO())
    with pytest.raises(ExeuntError, match=r"a\.tar\.gz: a \.tar\.gz file of anything but CIFAR"):
        open_source(tmp_path / "a.tar.gz")


def sheet(path: Path) -> tuple[np.ndarray, np.ndarray, dict]:
    """The images (N 32 32 3) of a set, and where they stand in train + test."""
    stored = np.load(path)
    pixels = np.asarray(Image.open(io.BytesIO(stored["sheet"].tobytes())).convert("RGB"))
    rows = pixels.reshape(pixels.shape[0] // 32, 32, -1, 32, 3).transpose(0, 2, 1, 3, 4)
    return rows.reshape(-1, 32, 32, 3)[: len(stored["index"])], stored["index"], stored


@pytest.mark.skipif(
    not (SHARED / "cifar10_lossless_part.npz").is_file(), reason="the CIFAR-10 images are not here"
)
def test_cifar10_pixel_for_pixel(tmp_path):
    images, index, stored = sheet(SHARED / "cifar10_lossless_part.npz")
    labels = stored["label"].astype(int)
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    members = {name: np.flatnonzero(index // 10_000 == i) for i, name in enumerate(POOLS_10)}
    pools = {name: (planes[rows], labels[rows].tolist()) for name, rows in members.items()}
    order = np.concatenate(list(members.values()))
    source = open_source(folder(tmp_path / "py", python_10, pools, list(CLASSES_10)))
    samples = [*source.pools["train"], *source.pools["test"]]
    assert source.class_names == CLASSES_10
    assert [sample.target for sample in samples] == labels[order].tolist()
    for i in range(0, len(order), 13):
        assert (np.asarray(samples[i].place.load()) == images[order[i]]).all()


@pytest.mark.skipif(
    not (SHARED / "cifar100_sample.npz").is_file(), reason="the CIFAR-100 images are not here"
)
def test_cifar100_pixel_for_pixel(tmp_path):
    images, index, stored = sheet(SHARED / "cifar100_sample.npz")
    labels = stored["fine"][index].astype(int)
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    rows = {"train": index < 50_000, "test": index >= 50_000}
    pools = {name: (planes[mask], labels[mask].tolist()) for name, mask in rows.items()}
    names = [str(name) for name in stored["fine_names"]]
    for write in (python_100, binary_100):
        source = open_source(folder(tmp_path / write.__name__, write, pools, names))
        assert source.class_names == tuple(names)
        for name, mask in rows.items():
            assert [sample.target for sample in source.pools[name]] == labels[mask].tolist()
            for sample, image in zip(source.pools[name], images[mask], strict=True):
                assert (np.asarray(sample.place.load()) == image).all()


@pytest.mark.parametrize(
    ("folder", "write"),
    [
        ("cifar-10-batches-py", python_10),
        ("cifar-10-batches-bin", binary_10),
        ("cifar-100-python", python_100),
    ],
)
def test_the_folder_in_which_torchvision_keeps_it(tmp_path, folder, write):
    (tmp_path / folder).mkdir()
    write(tmp_path / folder)
    (tmp_path / "cifar.tar.gz").write_bytes(b"not read")
    outer, inner = open_source(tmp_path), open_source(tmp_path / folder)
    assert (outer.root, outer.samples) == (inner.root, inner.samples)
    assert outer.left_out.note == ""
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    assert open_source(tmp_path).left_out.note == "left out: 1 unused folder (photos)"


def test_two_sets_in_one_folder_are_not_chosen_between(tmp_path):
    for folder, write in (("cifar-10-batches-py", python_10), ("cifar-100-python", python_100)):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder)
    with pytest.raises(
        ExeuntError, match=r"holds cifar-10-batches-py, cifar-100-python; give one of them"
    ):
        open_source(tmp_path)
