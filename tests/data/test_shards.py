"""Tar shards: every image with its label, at the bytes where it lies, or a clear error."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exeunt.data import (
    SplitSpec,
    Transform,
    content_hash,
    eval_loader,
    fingerprint,
    make_splits,
    open_source,
    train_loader,
)
from exeunt.errors import ExeuntError


def picture(seed: int, suffix: str = "png") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, {"jpg": "JPEG"}.get(suffix, suffix.upper()))
    return file.getvalue()


PNG = picture(0)


def shard(path: Path, *members: tuple[str, object], format: int = tarfile.PAX_FORMAT) -> Path:
    """Writes a shard; dicts become JSON, and other values text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=format) as tar:
        for name, content in members:
            if isinstance(content, tarfile.TarInfo):
                content.name = name
                tar.addfile(content)
                continue
            if isinstance(content, dict):
                content = json.dumps(content)
            if not isinstance(content, bytes):
                content = str(content).encode()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def listed(source) -> dict[str, list[tuple[str, int | float]]]:
    return {
        pool: [(sample.name, sample.target) for sample in samples]
        for pool, samples in source.pools.items()
    }


def samples_of(*labels: object, start: int = 0) -> list[tuple[str, object]]:
    return [
        member
        for i, label in enumerate(labels, start)
        for member in ((f"{i}.png", picture(i)), (f"{i}.cls", label))
    ]


def test_numbers_names_json_and_other_members(tmp_path):
    folder = tarfile.TarInfo()
    folder.type = tarfile.DIRTYPE
    path = shard(
        tmp_path / "a.tar",
        ("./deep/1.cls", "10\n"),
        ("./deep/1.JPG", picture(1, "jpg")),
        ("deep/1.txt", "a caption"),
        ("deep/2.json", {"label": 9, "width": 7}),
        ("deep/2.webp", picture(2, "webp")),
        ("3.bmp", picture(3, "bmp")),
        ("3.seg.png", picture(9)),
        ("3.json", {"label": "7"}),
        ("3.cls", "9"),
        (".hidden.png", b""),
        ("folder", folder),
    )
    source = open_source(path)
    assert (source.root, source.task) == (tmp_path, "classification")
    assert source.class_names == ("9", "10")
    assert listed(source) == {
        "all": [("a.tar/3.bmp", 0), ("a.tar/deep/1.JPG", 1), ("a.tar/deep/2.webp", 0)]
    }
    contents = [picture(3, "bmp"), picture(1, "jpg"), picture(2, "webp")]
    for sample, content in zip(source.pools["all"], contents, strict=True):
        assert sample.place.content() == content
        assert sample.place.load().size == (7, 6)


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_in_every_format(tmp_path, format):
    folder = "/".join(["x" * 40] * 5)
    members = [(f"{folder}/{name}", content) for name, content in samples_of("a", "b")]
    source = open_source(shard(tmp_path / "a.tar", *members, format=format))
    assert [sample.name for sample in source.pools["all"]] == [
        f"a.tar/{folder}/{i}.png" for i in range(2)
    ]
    assert [sample.place.content() for sample in source.pools["all"]] == [picture(0), picture(1)]


def test_values_for_regression(tmp_path):
    members = [
        ("1.png", PNG),
        ("1.json", {"value": 3}),
        ("2.png", PNG),
        ("2.json", {"value": -1.5}),
    ]
    source = open_source(shard(tmp_path / "a.tar", *members))
    assert (source.task, source.class_names) == ("regression", ())
    assert listed(source) == {"all": [("a.tar/1.png", 3.0), ("a.tar/2.png", -1.5)]}
    assert all(isinstance(sample.target, float) for sample in source.pools["all"])


@pytest.mark.parametrize(
    ("label", "target"), [("dog", 1), ("cat", 0), ("2", 2), ("01", 1), ("0", 3)]
)
def test_listed_classes(tmp_path, label, target):
    """By name first, else by number."""
    (tmp_path / "classes.txt").write_text("cat\ndog\n\n bird \n0\n")
    source = open_source(shard(tmp_path / "a.tar", *samples_of(label, "bird")))
    assert source.class_names == ("cat", "dog", "bird", "0")
    assert [sample.target for sample in source.pools["all"]] == [target, 2]


def test_pools_by_name_and_by_folder(tmp_path):
    parts = [samples_of("a", "b", start=10 * i) for i in range(4)]
    names = ["set1-train-0.tar", "set1-train-1.tar", "set1-validation-0.tar"]
    for name, members in zip(names, parts, strict=False):
        shard(tmp_path / "one" / name, *members)
    expected = {
        "train": [(f"{names[i]}/{10 * i + k}.png", k) for i in (0, 1) for k in (0, 1)],
        "test": [(f"{names[2]}/{20 + k}.png", k) for k in (0, 1)],
    }
    assert listed(open_source(tmp_path / "one")) == expected
    shard(tmp_path / "one" / "set1_TEST.tar", *parts[3])
    assert [name for name, _ in listed(open_source(tmp_path / "one"))["test"]] == [
        "set1_TEST.tar/30.png",
        "set1_TEST.tar/31.png",
    ]
    shard(tmp_path / "one" / "extra.tar", *parts[3])
    with pytest.raises(ExeuntError, match=r"extra\.tar: other files here have train and test"):
        open_source(tmp_path / "one")
    for held_out in ("val", "test"):
        shard(tmp_path / held_out / "train" / "0.tar", *parts[0])
        shard(tmp_path / held_out / held_out / "0.tar", *parts[1])
        assert listed(open_source(tmp_path / held_out)) == {
            "train": [("train/0.tar/0.png", 0), ("train/0.tar/1.png", 1)],
            "test": [(f"{held_out}/0.tar/10.png", 0), (f"{held_out}/0.tar/11.png", 1)],
        }


def test_shards_of_one_kind_are_one_pool(tmp_path):
    for i in range(2):
        shard(tmp_path / f"train-{i}.tar", *samples_of("a", "b"))
    (tmp_path / ".cache").mkdir()
    (tmp_path / "._train-0.tar").touch()
    assert list(open_source(tmp_path).pools) == ["all"]
    assert len(open_source(tmp_path).pools["all"]) == 4


def test_archives_left_beside_class_folders_are_no_shards(tmp_path):
    (tmp_path / "all.tar").touch()
    for name in ("a/1.png", "b/1.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    assert open_source(tmp_path).class_names == ("a", "b")


def test_splits_and_batches_are_those_of_a_folder(tmp_path):
    """The same names and bytes in a folder `a.tar` as in a file of that name."""
    for i in range(24):
        path = tmp_path / "files" / "a.tar" / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(i))
    lines = [f"a.tar/{i:02}.png,{'ab'[i % 2]}" for i in range(24)]
    (tmp_path / "files" / "list.csv").write_text("\n".join(["file,label", *lines]))
    members = samples_of(*("ab"[i % 2] for i in range(24)))
    renamed = [(f"{int(name[:-4]):02}{name[-4:]}", content) for name, content in members]
    sources = [
        open_source(tmp_path / "files" / "list.csv"),
        open_source(shard(tmp_path / "shards" / "a.tar", *renamed)),
    ]
    files, shards = (make_splits(source, SplitSpec()) for source in sources)
    for split in ("train", "calibration", "test"):
        assert fingerprint(files[split]) == fingerprint(shards[split])
        hashes = [[content_hash(s.place) for s in splits[split]] for splits in (files, shards)]
        assert hashes[0] == hashes[1]
    batches = [
        list(train_loader(splits.train, Transform((6, 7)), batch_size=4, seed=1, workers=workers))
        for splits, workers in ((files, 0), (shards, 0), (shards, 2))
    ]
    for one, *others in zip(*batches, strict=True):
        assert all((one.images == other.images).all() for other in others)
        assert all((one.indices == other.indices).all() for other in others)


def test_corrupt_member_is_unreadable_and_named(tmp_path):
    members = [*samples_of("a", "b"), ("7.png", PNG[:40]), ("7.cls", "a")]
    source = open_source(shard(tmp_path / "a.tar", *members))
    (batch,) = eval_loader(source.pools["all"], Transform((6, 7)), batch_size=3)
    assert len(batch) == 2
    assert batch.unreadable == {"a.tar/7.png": "a damaged or cut off PNG image"}


def link() -> tarfile.TarInfo:
    member = tarfile.TarInfo()
    member.type, member.linkname = tarfile.LNKTYPE, "0.png"
    return member


def test_a_key_ends_at_the_first_dot(tmp_path):
    """By WebDataset's rule, "1.5x.png" is the field "5x.png" of the sample "1"."""
    members = []
    for i in range(6):
        dotted = f"{i}.5x" if i % 2 else f"{i}"
        members += [(f"{dotted}.png", picture(i)), (f"{dotted}.cls", i % 2)]
    source = open_source(shard(tmp_path / "a.tar", *members))
    assert listed(source)["all"] == [(f"a.tar/{i}{'.5x' * (i % 2)}.png", i % 2) for i in range(6)]
    assert not source.left_out


def test_other_fields_of_a_sample_are_left_out_and_counted(tmp_path):
    members = [
        *samples_of("a", "b"),
        ("1.seg.png", PNG),
        ("0.seg.png", PNG),
        ("0.txt", "a caption"),
    ]
    members += [("0.meta.json", bytes(2**20 + 1)), ("x/9.meta.json", "{}"), ("._0.png", b"")]
    source = open_source(shard(tmp_path / "a.tar", *members))
    assert listed(source)["all"] == [("a.tar/0.png", 0), ("a.tar/1.png", 1)]
    assert source.left_out.kinds == {
        ".seg.png": (2, "a.tar/0.seg.png"),
        ".txt": (1, "a.tar/0.txt"),
        ".meta.json": (2, "a.tar/0.meta.json"),
        "hidden file": (1, "a.tar/._0.png"),
    }


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("1.png", PNG)], r"a\.tar/1\.png: has no label"),
        ([("1.cls", 0)], r"a\.tar/1: a label without an image"),
        ([("x/1.cls", 0), ("1.png", PNG)], r"a\.tar/x/1: a label without an image"),
        ([("1.png", PNG), ("1.png", PNG)], r"a\.tar/1\.png: occurs twice"),
        (
            [("1.png", PNG), ("1.jpg", PNG)],
            r"a\.tar/1\.jpg: both this and 1\.png belong to the sample 1: a key ends",
        ),
        ([("1.cls", 1), ("1.cls", 1)], r"a\.tar/1\.cls: occurs twice"),
        ([("1.png", link())], r"a\.tar/1\.png: a link or a sparse file"),
        (
            [("1.txt", "a"), ("1.heic", PNG)],
            r"no images .* \.webp\); there are 1 \.heic \(a\.tar/1\.heic\), 1 \.txt",
        ),
        (
            [("a.1.png", PNG), ("a.2.png", PNG)],
            r"a\.2\.png: both this and a\.1\.png .* sample a: a key",
        ),
        ([("1.png", PNG), ("1.a.cls", 0), ("1.b.cls", 1)], r"1\.b\.cls: both this and 1\.a\.cls"),
        ([("1.png", PNG), ("1.cls", " ")], r"a\.tar/1\.png: its \.cls must have .* not ''"),
        ([("1.png", PNG), ("1.cls", b"\xff")], r"a\.tar/1\.png: its \.cls cannot be read"),
        ([("1.png", PNG), ("1.cls", bytes(2**20 + 1))], r"1\.cls: 1048577 bytes are no label"),
        ([("1.png", PNG), ("1.cls", "-1")], r"a\.tar/1\.png: label -1 is below 0"),
        ([("1.png", PNG), ("1.json", "{")], r"a\.tar/1\.png: its \.json cannot be read"),
        ([("1.png", PNG), ("1.json", "[" * 10**5)], r"1\.png: its \.json cannot be read"),
        ([("1.png", PNG), ("1.json", "[]")], r'its \.json must be \{"label": ...\} or'),
        ([("1.png", PNG), ("1.json", {"label": 1, "value": 2})], r"its \.json must be"),
        ([("1.png", PNG), ("1.json", {"label": True})], r"number or name of a class, not True"),
        ([("1.png", PNG), ("1.json", {"label": 1.5})], r"number or name of a class, not 1\.5"),
        ([("1.png", PNG), ("1.json", {"value": "1"})], "its value must be a number, not '1'"),
        ([("1.png", PNG), ("1.json", {"value": float("nan")})], "must be finite, not nan"),
        ([("1.png", PNG), ("1.json", {"value": 10**400})], "must be finite, not 1000"),
        ([*samples_of("a", "a")], "only one class, 'a'; at least two classes"),
        (
            [*samples_of("a", "3")],
            r"a\.tar/1\.png is a number \(3\), .*0\.png is a name",
        ),
        (
            [*samples_of("a"), ("1.png", PNG), ("1.json", {"value": 1})],
            r"a\.tar/1\.png has a value, but a\.tar/0\.png has a label",
        ),
    ],
)
def test_faulty_samples(tmp_path, members, message):
    with pytest.raises(ExeuntError, match=message):
        open_source(shard(tmp_path / "a.tar", *members))


@pytest.mark.parametrize("label", ["4", "-1", "fish", "99999999999999999999"])
def test_labels_out_of_range(tmp_path, label):
    (tmp_path / "classes.txt").write_text("a\nb\nc\nd\n")
    shard(tmp_path / "train-0.tar", *samples_of(0, "d"))
    shard(tmp_path / "test-0.tar", *samples_of(0, label))
    message = rf"test-0\.tar/1\.png: label '{label}' is none of the 4 classes .*0 to 3\)"
    with pytest.raises(ExeuntError, match=message):
        open_source(tmp_path)


@pytest.mark.parametrize("content", [b"", b"a\n", b"a\na\n", b"\xff\xfe"])
def test_faulty_lists_of_classes(tmp_path, content):
    (tmp_path / "classes.txt").write_bytes(content)
    with pytest.raises(ExeuntError, match=r"classes\.txt: (at least two different|not a text)"):
        open_source(shard(tmp_path / "a.tar", *samples_of(0, 1)))


def test_cut_off_anywhere(tmp_path):
    whole = shard(tmp_path / "a.tar", *samples_of("a", "b")).read_bytes()
    used = whole.rstrip(b"\0")
    end = len(used) + -len(used) % 512
    for size in (*range(0, end, 256), end, end + 100):
        (tmp_path / "a.tar").write_bytes(whole[:size])
        with pytest.raises(ExeuntError, match=r"a\.tar: (not a whole|damaged or cut off)"):
            open_source(tmp_path)
    (tmp_path / "a.tar").write_bytes(whole[: end + 512])
    assert len(open_source(tmp_path).pools["all"]) == 2


def test_damaged_and_other_archives(tmp_path):
    path = shard(tmp_path / "a.tar", *samples_of("a", "b"))
    whole = path.read_bytes()
    path.write_bytes(whole + whole)
    with pytest.raises(ExeuntError, match=r"a\.tar: goes on after the end of the archive, after 1"):
        open_source(path)
    at = whole.index(b"1.png")
    path.write_bytes(whole[:at] + b"2" + whole[at + 1 :])
    with pytest.raises(ExeuntError, match=r"a\.tar: damaged or cut off after 0\.cls"):
        open_source(path)
    with tarfile.open(path, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("x"))
    with pytest.raises(ExeuntError, match=r"a\.tar: not a whole, uncompressed tar archive"):
        open_source(path)
