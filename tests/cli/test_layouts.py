"""The commands say the same of the same images, however these are kept."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def measured(run) -> list[dict]:
    """The rows of exits and policies; not the run, which names the data."""
    assert (run.status, run.err) == (0, "")
    _, *rows = (json.loads(line) for line in run.out.splitlines())
    assert len(rows) > 6
    return rows


@pytest.fixture
def expected(exeunt, weights, images) -> list[dict]:
    return measured(exeunt("eval", weights, images, "--split", "all", "--json"))


def test_table(exeunt, weights, images, expected, tmp_path):
    lines = [f"{file},{file.parent.name}" for file in images.glob("*/*.png")]
    (tmp_path / "list.csv").write_text("\n".join(["file,label", *lines]))
    run = exeunt("eval", weights, tmp_path / "list.csv", "--split", "all", "--json")
    assert measured(run) == expected


@pytest.mark.parametrize("suffix", ["cls", "json"])
def test_shards(exeunt, weights, images, expected, tmp_path, suffix):
    for folder in images.iterdir():
        if folder.is_dir():
            label = folder.name if suffix == "cls" else json.dumps({"label": folder.name})
            (tmp_path / f"label.{suffix}").write_text(label)
            with tarfile.open(tmp_path / f"{folder.name}.tar", "w") as tar:
                for file in folder.glob("*.png"):
                    tar.add(file, file.name)
                    tar.add(tmp_path / f"label.{suffix}", f"{file.stem}.{suffix}")
    run = exeunt("eval", weights, tmp_path, "--split", "all", "--json")
    assert measured(run) == expected


def test_cifar(exeunt, weights, images, tmp_path):
    """Against the same pixels as files, of the size that CIFAR has."""
    names = sorted(folder.name for folder in images.iterdir() if folder.is_dir())
    small, cifar = tmp_path / "small", tmp_path / "cifar"
    cifar.mkdir()
    records = []
    for file in sorted(images.glob("*/*.png")):
        image = Image.open(file).convert("RGB").resize((32, 32))
        path = small / file.relative_to(images)
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
        planes = np.asarray(image).transpose(2, 0, 1)
        records.append(bytes([names.index(file.parent.name)]) + planes.tobytes())
    files = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    for i, file in enumerate(files):
        (cifar / file).write_bytes(b"".join(records[i::6]))
    (cifar / "batches.meta.txt").write_text("\n".join(names))
    rows = [
        measured(exeunt("eval", weights, path, "--split", "all", "--json"))
        for path in (small, cifar)
    ]
    exits = [[row for row in found if "accuracy" in row] for found in rows]
    for one, other in zip(*exits, strict=True):
        assert one["accuracy"] == pytest.approx(other["accuracy"])


def test_other_classes_are_refused(exeunt, weights, images, tmp_path):
    file = next(images.glob("*/*.png"))
    (tmp_path / "list.csv").write_text(f"file,label\n{file},dots\n{file.parent}/01.png,fish\n")
    run = exeunt("eval", weights, tmp_path / "list.csv")
    assert run.status == 2
    assert "that the weights do not know: 'fish'; they know 'dots', 'noise', 'waves'" in run.err


def test_unreadable_member_is_named(exeunt, weights, images, tmp_path):
    path: Path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for k in range(2):
            for file in sorted(images.glob("*/*.png")):
                (tmp_path / "label").write_text(file.parent.name)
                tar.add(file, f"{file.parent.name}{k}{file.name}")
                tar.add(tmp_path / "label", f"{file.parent.name}{k}{file.stem}.cls")
    content = path.read_bytes()
    broken = next(iter(sorted(images.glob("dots/*.png")))).read_bytes()
    at = content.index(broken)
    path.write_bytes(content[:at] + bytes(len(broken)) + content[at + len(broken) :])
    run = exeunt("eval", weights, path, "--split", "all")
    assert run.status == 0
    assert (
        run.err
        == "exeunt: warning: a.tar/dots000.png: no image of a format that is read, left out\n"
    )
