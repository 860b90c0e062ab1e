"""Which images are found, with which targets, and what is said when something is wrong."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest

from exeunt.data import ImageFile, content_hash, fingerprint, open_source
from exeunt.errors import ExeuntError

HUMAN = Path(__file__).parents[3] / "shared" / "data" / "human160"


def touch(root: Path, *names: str) -> Path:
    """Listing reads no image, so empty files do."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def listed(samples) -> list[tuple[str, int | float]]:
    return [(sample.name, sample.target) for sample in samples]


def test_folder_of_class_folders(tmp_path):
    touch(tmp_path, "dog/b.JPG", "dog/a.png", "cat/2.webp", "cat/deep/er/1.jpeg", "cat/1.bmp")
    touch(tmp_path, "cat/.hidden.png", "cat/.cache/3.png", "cat/notes.txt", ".git/x.png", "a.png")
    source = open_source(str(tmp_path))
    assert source.task == "classification"
    assert source.class_names == ("cat", "dog")
    assert list(source.pools) == ["all"]
    assert listed(source.pools["all"]) == [
        ("cat/1.bmp", 0),
        ("cat/2.webp", 0),
        ("cat/deep/er/1.jpeg", 0),
        ("dog/a.png", 1),
        ("dog/b.JPG", 1),
    ]
    assert all(sample.place.path == tmp_path / sample.name for sample in source.pools["all"])


@pytest.mark.parametrize("held_out", ["val", "test"])
def test_train_and_held_out_folders(tmp_path, held_out):
    touch(tmp_path, "train/b/1.png", "train/a/1.png", f"{held_out}/a/1.png", f"{held_out}/b/7.png")
    source = open_source(tmp_path)
    assert source.class_names == ("a", "b")
    assert listed(source.pools["train"]) == [("train/a/1.png", 0), ("train/b/1.png", 1)]
    assert listed(source.pools["test"]) == [(f"{held_out}/a/1.png", 0), (f"{held_out}/b/7.png", 1)]


def test_test_folder_wins_over_val(tmp_path):
    touch(tmp_path, *(f"{pool}/{name}/1.png" for pool in ("train", "val", "test") for name in "ab"))
    assert listed(open_source(tmp_path).pools["test"]) == [("test/a/1.png", 0), ("test/b/1.png", 1)]


def test_train_may_be_a_class(tmp_path):
    touch(tmp_path, "train/1.png", "tram/1.png")
    assert open_source(tmp_path).class_names == ("train", "tram")


def test_different_classes_are_named(tmp_path):
    touch(tmp_path, "train/a/1.png", "train/b/1.png", "val/b/1.png", "val/c/1.png")
    with pytest.raises(ExeuntError, match=r"\['a'\] are in train/ only and \['c'\] in val/ only"):
        open_source(tmp_path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "the folder is empty"),
        ((".DS_Store",), "the folder is empty"),
        (("1.png", "2.png"), "no class folders"),
        (("a/1.png",), "only one class folder, 'a'"),
        (("a/1.txt", "b/2.gif"), "no images in its class folders"),
        (("a/1.png", "b/2.gif"), r"b: no images in this class folder \(.bmp, .jpeg"),
        (("train/a/1.png", "train/b/1.png", "val/a/1.png", "val/b/.1.png"), "val/b: no images"),
        (("train/1.png", "test/1.png"), "train: no class folders"),
    ],
)
def test_faulty_folders(tmp_path, names, message):
    touch(tmp_path, *names)
    with pytest.raises(ExeuntError, match=message):
        open_source(tmp_path)


def test_neither_folder_nor_table(tmp_path):
    with pytest.raises(ExeuntError, match=r"nowhere: there is no such file or folder"):
        open_source(tmp_path / "nowhere")
    (tmp_path / "data.zip").touch()
    with pytest.raises(ExeuntError, match=r"data\.zip: neither a folder"):
        open_source(tmp_path / "data.zip")


def test_fingerprint_sees_names_sizes_and_targets_but_not_order(tmp_path):
    touch(tmp_path, "a/1.png", "b/1.png")
    samples = open_source(tmp_path).pools["all"]
    before = fingerprint(samples)
    assert re.fullmatch("[0-9a-f]{16}", before)
    assert fingerprint(samples[::-1]) == before
    assert fingerprint(samples[:1]) != before
    assert fingerprint([replace(samples[0], name="a/2.png"), samples[1]]) != before
    assert fingerprint([replace(samples[0], target=1), samples[1]]) != before
    samples[0].place.path.write_bytes(b"x")
    assert fingerprint(samples) != before
    samples[0].place.path.unlink()
    with pytest.raises(ExeuntError, match=r"1\.png: cannot be read"):
        fingerprint(samples)


def test_fingerprint_stays_what_weights_carry(tmp_path):
    touch(tmp_path, "b/1.png")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_bytes(b"four")
    text = b"a/1.png\x004\x000\nb/1.png\x000\x001\n"
    expected = hashlib.blake2b(text, digest_size=8).hexdigest()
    assert fingerprint(open_source(tmp_path).pools["all"]) == expected


def test_content_hash_is_blake2b_of_the_bytes(tmp_path):
    data = bytes(range(256)) * 1000
    (tmp_path / "x").write_bytes(data)
    assert (
        content_hash(ImageFile(tmp_path / "x")) == hashlib.blake2b(data, digest_size=8).hexdigest()
    )


@pytest.mark.skipif(not HUMAN.is_dir(), reason="the image set human160 is not here")
def test_human160():
    source = open_source(HUMAN)
    assert source.class_names == ("no_person", "person")
    on_disk = {pool: len(list((HUMAN / pool).rglob("*.*"))) for pool in ("train", "val")}
    assert len(source.pools["train"]) == on_disk["train"]
    assert len(source.pools["test"]) == on_disk["val"]
