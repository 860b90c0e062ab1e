"""Which images are found, with which targets, and what is said when something is wrong."""

from __future__ import annotations

import hashlib
import os
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


def test_a_class_of_the_test_images_alone_is_refused(tmp_path):
    touch(tmp_path, "train/a/1.png", "train/b/1.png", "val/b/1.png", "val/c/1.png")
    with pytest.raises(
        ExeuntError, match=r"val/ holds images of classes that train/ has none of: c"
    ):
        open_source(tmp_path)


def test_a_class_without_test_images_is_let_be(tmp_path):
    touch(tmp_path, "train/a/1.png", "train/b/1.png", "val/b/1.png", "val/a/1.txt")
    source = open_source(tmp_path)
    assert source.class_names == ("a", "b")
    assert listed(source.pools["test"]) == [("val/b/1.png", 1)]
    assert source.left_out.kinds == {
        ".txt": (1, "val/a/1.txt"),
        "empty class folder": (1, "val/a"),
    }


@pytest.mark.parametrize(
    ("train", "held_out"),
    [
        ("train", "valid"),
        ("train", "validation"),
        ("Train", "Val"),
        ("TRAIN", "TEST"),
        ("Training", "Testing"),
        ("seg_train", "seg_test"),
        ("train-images", "val-images"),
    ],
)
def test_splits_by_other_names(tmp_path, train, held_out):
    names = ("a/1.png", "b/2.png")
    touch(tmp_path, *(f"{pool}/{name}" for pool in (train, held_out) for name in names))
    source = open_source(tmp_path)
    assert source.class_names == ("a", "b")
    assert listed(source.pools["train"]) == [(f"{train}/a/1.png", 0), (f"{train}/b/2.png", 1)]
    assert listed(source.pools["test"]) == [(f"{held_out}/a/1.png", 0), (f"{held_out}/b/2.png", 1)]


def test_classes_that_are_called_like_splits(tmp_path):
    names = ("freight train/1.png", "passenger train/1.png", "test bench/1.png")
    touch(tmp_path, *names)
    assert listed(open_source(tmp_path).pools["all"]) == [(n, k) for k, n in enumerate(names)]


def test_two_folders_for_one_split(tmp_path):
    pools = ("Val 1", "Val 2", "train")
    touch(tmp_path, *(f"{pool}/{name}/1.png" for pool in pools for name in "ab"))
    with pytest.raises(ExeuntError, match="Val 1, Val 2 are called by the same split"):
        open_source(tmp_path)


def test_folders_of_anything_but_classes(tmp_path):
    touch(tmp_path, *(f"{fold}/{name}/1.png" for fold in ("one", "two") for name in "ab"))
    with pytest.raises(ExeuntError, match="one, two all hold the folders a, b, so that one of the"):
        open_source(tmp_path)
    touch(tmp_path, "three/1.png")
    assert open_source(tmp_path).class_names == ("one", "three", "two")


def test_one_folder_in_each_class_is_no_second_level(tmp_path):
    """As in Tiny ImageNet."""
    touch(tmp_path, *(f"train/{name}/images/{name}_0.JPEG" for name in "ab"))
    touch(tmp_path, *(f"val/{name}/images/{name}_1.JPEG" for name in "ab"))
    assert listed(open_source(tmp_path).pools["test"])[1] == ("val/b/images/b_1.JPEG", 1)


def test_what_is_left_out_is_counted_and_named_by_kind(tmp_path):
    touch(tmp_path, "a/1.png", "a/2.GIF", "a/3.heic", "a/4.HEIC", "a/LICENSE", "b/x/1.tif")
    touch(tmp_path, "a/.DS_Store", "b/.ipynb_checkpoints/1.png", "__MACOSX/a/._1.png", "note.txt")
    touch(tmp_path, "c/1.svg", "stray.png")
    (tmp_path / "a" / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "a" / "circle").symlink_to("circle")
    os.mkfifo(tmp_path / "a" / "pipe.png")
    source = open_source(tmp_path)
    assert listed(source.pools["all"]) == [("a/1.png", 0), ("a/2.GIF", 0), ("b/x/1.tif", 1)]
    assert source.left_out.kinds == {
        ".heic": (2, "a/3.heic"),
        ".svg": (1, "c/1.svg"),
        "__MACOSX folder": (1, "__MACOSX"),
        "dangling link": (2, "a/circle"),
        "empty class folder": (1, "c"),
        "hidden file": (1, "a/.DS_Store"),
        "hidden folder": (1, "b/.ipynb_checkpoints"),
        "special file": (1, "a/pipe.png"),
        "stray image": (1, "stray.png"),
        "suffixless file": (1, "a/LICENSE"),
    }
    assert source.left_out.note.startswith(
        "left out: 2 .heic (a/3.heic, ...), 2 dangling links (a/"
    )
    assert source.left_out.note.endswith("2 of 2 other kinds")
    assert "\n" not in source.left_out.note


def test_what_lies_beside_the_splits_is_left_out(tmp_path):
    pools = ("train", "val", "test", "extra")
    touch(tmp_path, *(f"{pool}/{name}/1.png" for pool in pools for name in "ab"), "train/1.png")
    assert open_source(tmp_path).left_out.kinds == {
        "unused folder": (2, "extra"),
        "stray image": (1, "train/1.png"),
    }


def test_links_to_folders_are_followed_once(tmp_path):
    data, more = tmp_path / "data", touch(tmp_path / "more", "1.png", "deep/2.png")
    touch(data, "a/1.png", "a/b/2.png", "b/3.png")
    (data / "a" / "more").symlink_to(more)
    (data / "a" / "again").symlink_to(more / "deep")
    (data / "a" / "b" / "up").symlink_to(data / "a")
    (data / "c").symlink_to(more)
    source = open_source(data)
    assert [sample.name for sample in source.samples] == [
        "a/1.png",
        "a/again/2.png",
        "a/b/2.png",
        "a/more/1.png",
        "b/3.png",
        "c/1.png",
        "c/deep/2.png",
    ]
    assert source.left_out.kinds == {"repeated folder": (2, "a/b/up")}


def test_labels_are_those_of_the_weights_by_name(tmp_path):
    names = [f"{k}/{k}.png" for k in range(1, 12)]
    touch(tmp_path, *names)
    classes = tuple(map(str, range(12, 0, -1)))
    source = open_source(tmp_path, classes)
    assert source.class_names == classes
    assert {classes[s.target] for s in source.samples if s.name == "10/10.png"} == {"10"}
    assert all(classes[s.target] == s.place.path.stem for s in source.samples)
    assert open_source(tmp_path, classes[1:]).samples[0].target == 10
    with pytest.raises(
        ExeuntError, match="that the weights do not know: '1', '10', '11'; they know '9'"
    ):
        open_source(tmp_path, [name for name in classes[3:] if name not in ("1", "10")])


def test_one_class_is_enough_for_weights_that_know_it(tmp_path):
    touch(tmp_path, "b/1.png")
    assert listed(open_source(tmp_path, ("a", "b")).samples) == [("b/1.png", 1)]
    with pytest.raises(ExeuntError, match="only one class, 'b'; at least two"):
        open_source(tmp_path)


@pytest.mark.parametrize("data", [object(), None, 7, b"photos"])
def test_data_that_is_no_path(data):
    with pytest.raises(
        ExeuntError, match=rf"type {type(data).__name__} is no .*give the path of labelled images"
    ):
        open_source(data)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "the folder is empty"),
        ((".DS_Store",), "the folder is empty"),
        (("1.png", "2.png"), "no class folders"),
        (("a/1.png",), "only one class, 'a'; at least two"),
        (
            ("a/1.txt", "b/2.heic"),
            r"no images .*; there are 2 empty class .*, 1 \.heic \(b/2\.heic\), 1 \.txt",
        ),
        (("a/1.png", "b/2.heic"), "only one class, 'a'"),
        (("train/a/1.png", "train/b/1.png", "val/a/.1.png"), "val: no images in its class folders"),
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
