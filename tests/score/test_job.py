"""A job over a folder of results: every kind of DATA, killed in the middle, and gone on with."""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

import exeunt
from exeunt.score.inputs import open_inputs

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def rows(folder: Path) -> list[dict[str, Any]]:
    """Of all shards, by name."""
    found = [
        row
        for path in sorted(folder.glob("part-*.parquet"))
        for row in parquet.ParquetFile(path).read().to_pylist()
    ]
    return sorted(found, key=lambda row: str(row["name"]))


@pytest.fixture(scope="module")
def mixed(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images, one of them cut off, one empty, and one that is text."""
    root = tmp_path_factory.mktemp("mixed")
    for path in sorted(images.rglob("*.png")):
        place = root / path.relative_to(images)
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(path.read_bytes())
    (root / "dots" / "00.png").write_bytes((root / "dots" / "00.png").read_bytes()[:70])
    (root / "waves" / "02.png").write_bytes(b"")
    (root / "waves" / "05.png").write_text("not an image", encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def whole(weights: Path, mixed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a job finds that nothing disturbs."""
    out = tmp_path_factory.mktemp("whole") / "results"
    exeunt.score_images(weights, mixed, out, block_size=7)
    return out


def test_a_folder(weights: Path, mixed: Path, whole: Path) -> None:
    names = sorted(path.relative_to(mixed).as_posix() for path in mixed.rglob("*.png"))
    found = rows(whole)
    assert [row["name"] for row in found] == names
    assert len(list(whole.glob("part-*"))) == 5  # 30 images by sevens
    clf = exeunt.load(weights)
    for row in found:
        if row["name"] in ("dots/00.png", "waves/02.png", "waves/05.png"):
            assert row["error"]
            assert row["label"] is row["exit"] is row["macs"] is None
        else:
            answer = clf.predict(str(mixed / row["name"]))
            assert (row["label"], row["exit"], row["macs"], row["error"]) == (
                *(answer.label, answer.exit, answer.macs),
                None,
            )


def test_the_summary_is_that_of_the_rows(weights: Path, mixed: Path, tmp_path: Path) -> None:
    said = exeunt.score_images(weights, mixed, tmp_path / "out", block_size=16)
    read = [row for row in rows(tmp_path / "out") if row["error"] is None]
    assert (said.images, said.failures, said.images_now) == (30, 3, 30)
    for k, share in enumerate(said.exit_shares):
        assert share == pytest.approx(sum(row["exit"] == k + 1 for row in read) / 27)
    assert said.mean_macs == pytest.approx(sum(row["macs"] for row in read) / 27)
    assert said.images_per_second == pytest.approx(30 / said.seconds)
    stored = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert stored == said.to_dict()


def test_tar_shards(weights: Path, mixed: Path, whole: Path, tmp_path: Path) -> None:
    files = sorted(mixed.rglob("*.png"))
    (tmp_path / "tars").mkdir()
    for n in range(2):
        with tarfile.open(tmp_path / "tars" / f"{n}.tar", "w") as tar:
            for file in files[n::2]:
                tar.add(file, file.relative_to(mixed).as_posix())
                label = tarfile.TarInfo(file.with_suffix(".cls").name)
                label.size = 1
                tar.addfile(label, io.BytesIO(b"0"))
    with pytest.warns(exeunt.ExeuntWarning, match=r"left out: 30 \.cls"):
        exeunt.score_images(weights, tmp_path / "tars", tmp_path / "out", block_size=4)
    found = {row["name"].partition("/")[2]: row for row in rows(tmp_path / "out")}
    assert {row["name"][:6] for row in rows(tmp_path / "out")} == {"0.tar/", "1.tar/"}
    same(found, whole)


def same(found: dict[str, dict[str, Any]], whole: Path) -> None:
    expected = rows(whole)
    assert sorted(found) == [row["name"] for row in expected]
    for row in expected:
        other = found[row["name"]]
        assert (row["label"], row["exit"], row["macs"]) == (
            *(other["label"], other["exit"], other["macs"]),
        )
        assert (row["error"] is None) == (other["error"] is None)


@pytest.mark.parametrize("kind", ["bytes", "undecoded", "paths"])
def test_parquet(weights: Path, mixed: Path, whole: Path, tmp_path: Path, kind: str) -> None:
    files = sorted(mixed.rglob("*.png"))
    names = [file.relative_to(mixed).as_posix() for file in files]
    content = [file.read_bytes() for file in files]
    columns = {
        "bytes": {"bytes": content, "id": names},
        "undecoded": {"image": [{"bytes": one, "path": "x"} for one in content], "key": names},
        "paths": {"path": [str(file) for file in files], "name": names},
    }[kind]
    path = tmp_path / "images.parquet"
    parquet.write_table(pa.table(columns), path, row_group_size=11)  # in blocks of 4, 4 and 3
    blocks = [len(block) for block in open_inputs(path, 4).blocks]
    assert blocks == [4, 4, 3, 4, 4, 3, 4, 4]
    exeunt.score_images(weights, path, tmp_path / "out", block_size=4)
    same({row["name"]: row for row in rows(tmp_path / "out")}, whole)


def test_parquet_without_names_is_counted_by_rows(
    weights: Path, images: Path, tmp_path: Path
) -> None:
    content = [path.read_bytes() for path in sorted(images.rglob("*.png"))[:5]]
    parquet.write_table(pa.table({"jpg": content}), tmp_path / "x.parquet", row_group_size=3)
    exeunt.score_images(weights, tmp_path / "x.parquet", tmp_path / "out", block_size=2)
    assert [row["name"] for row in rows(tmp_path / "out")] == [f"x.parquet/{n}" for n in range(5)]


def test_a_csv(weights: Path, mixed: Path, whole: Path, tmp_path: Path) -> None:
    names = sorted(path.relative_to(mixed).as_posix() for path in mixed.rglob("*.png"))
    with (mixed / "list.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["file", "note"], *([name, "x"] for name in names), ["no.png"]])
    exeunt.score_images(weights, mixed / "list.csv", tmp_path / "out")
    (mixed / "list.csv").unlink()
    found = {row["name"]: row for row in rows(tmp_path / "out")}
    assert "there is no such file" in found.pop("no.png")["error"]
    same(found, whole)


def test_what_was_begun_goes_on_only_if_asked_and_only_as_it_began(
    weights: Path, mixed: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    exeunt.score_images(weights, mixed, out, block_size=7)
    (out / "part-000001.parquet").unlink()
    kept = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
    with pytest.raises(exeunt.ExeuntError, match="--resume goes on with them"):
        exeunt.score_images(weights, mixed, out, block_size=7)
    with pytest.raises(exeunt.ExeuntError, match="results with block_size=7, not 8"):
        exeunt.score_images(weights, mixed, out, block_size=8, resume=True)
    with pytest.raises(exeunt.ExeuntError, match=r"with policy='confidence:0.8', not 'full'"):
        exeunt.score_images(weights, mixed, out, block_size=7, policy="full", resume=True)
    said = exeunt.score_images(weights, mixed, out, block_size=7, resume=True)
    assert (said.images, said.images_now) == (30, 7)
    assert rows(out) == rows(whole)
    for name, time_ns in kept.items():  # nothing is written twice
        assert (out / name).stat().st_mtime_ns == time_ns
    again = exeunt.score_images(weights, mixed, out, block_size=7, resume=True)
    assert (again.images_now, again.images_per_second) == (0, 0.0)
    assert again.exit_shares == said.exit_shares


def test_folders_that_are_none_of_results(weights: Path, mixed: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    with pytest.raises(exeunt.ExeuntError, match="is there already, and holds no results"):
        exeunt.score_images(weights, mixed, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda at: None, "there is no such file or folder"),
        (lambda at: at.mkdir(), "no images in this folder"),
        (lambda at: at.with_suffix(".csv").write_text("a,b\n"), "images are looked for in path"),
        (lambda at: at.with_suffix(".tar").write_text("x"), "not a whole, uncompressed tar"),
        (lambda at: at.with_suffix(".parquet").write_text("x"), "not a whole parquet file"),
        (lambda at: at.with_suffix(".zip").write_text("x"), "neither a folder nor a table"),
    ],
)
def test_data_that_is_none(tmp_path: Path, make: Any, said: str) -> None:
    make(tmp_path / "data")
    data = next(tmp_path.iterdir(), tmp_path / "data")
    with pytest.raises(exeunt.ExeuntError, match=said):
        open_inputs(data, 4)


def test_a_damaged_shard_of_the_results_is_named(
    weights: Path, mixed: Path, tmp_path: Path
) -> None:
    exeunt.score_images(weights, mixed, tmp_path / "out", block_size=7)
    (tmp_path / "out" / "part-000002.parquet").write_bytes(b"PAR1")
    with pytest.raises(exeunt.ExeuntError, match=r"part-000002.parquet: not a whole parquet file"):
        exeunt.score_images(weights, mixed, tmp_path / "out", block_size=7, resume=True)


def test_unknown_engines_and_addresses(weights: Path, mixed: Path, tmp_path: Path) -> None:
    with pytest.raises(exeunt.ExeuntError, match="engine 'rai': did you mean ray"):
        exeunt.score_images(weights, mixed, tmp_path / "out", engine="rai")
    with pytest.raises(exeunt.ExeuntError, match="--address auto is for --engine ray"):
        exeunt.score_images(weights, mixed, tmp_path / "out", address="auto")


@pytest.mark.slow
def test_two_workers_of_which_one_is_killed(
    weights: Path, mixed: Path, whole: Path, tmp_path: Path
) -> None:
    killed: list[int | None] = []

    def kill(done: int, total: int) -> None:
        if 0 < done < total and not killed:
            victim = multiprocessing.active_children()[0]
            victim.kill()
            killed.append(victim.pid)

    out = tmp_path / "out"
    exeunt.score_images(weights, mixed, out, workers=2, block_size=7, on_progress=kill)
    assert killed
    assert rows(out) == rows(whole)
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="a signal ends it")
def test_a_driver_that_is_killed(weights: Path, mixed: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["score", str(weights), str(mixed), "--out", str(out), "--block-size", "7"]
    command = [sys.executable, "-m", "exeunt", *words, "--workers", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(out.glob("part-*")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(list(out.glob("part-*"))) >= 1
    exeunt.score_images(weights, mixed, out, block_size=7, resume=True)
    assert rows(out) == rows(whole)
