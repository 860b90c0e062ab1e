"""What commands refuse to write over, and what they say when they cannot write."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exeunt import files
from exeunt.evaluate import load_table
from exeunt.models import load_weights, save_weights

Exeunt = Callable[..., Any]
ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


FLOATS = {"c": ("--dtype", "float32"), "onnx": ("--target", "onnx")}


@pytest.mark.parametrize("target", ["c", "onnx"])
@pytest.mark.parametrize(
    "record",
    [
        '{"score": 1}',
        '{"format": 2, "name": "net", "files": ["notes/t.txt"]}',
        '{"format": 1, "stages": [{"file": "notes/t.txt"}], "single": null}',
        "[1]",
        "",
    ],
)
def test_a_folder_with_a_report_of_something_else_is_left_alone(
    target: str, record: str, exeunt: Exeunt, tiny: Path, tmp_path: Path
) -> None:
    name = {"c": "report.json", "onnx": "manifest.json"}[target]
    project = tmp_path / "proj"
    (project / "notes").mkdir(parents=True)
    (project / "notes" / "t.txt").write_text("x")
    (project / name).write_text(record)
    before = tree(tmp_path)
    done = exeunt("export", tiny, *FLOATS[target], "--out", project)
    assert done.status == 2
    assert f"{project} is there and holds no " in done.err
    assert "choose another --out" in done.err
    assert tree(tmp_path) == before


@pytest.mark.parametrize("target", ["c", "onnx"])
def test_what_the_user_put_into_an_export_stays(
    target: str, exeunt: Exeunt, tiny: Path, tmp_path: Path
) -> None:
    net = tmp_path / "net"
    command = ("export", tiny, *FLOATS[target], "--out", net)
    assert exeunt(*command, "--policy", "full").status == 0
    made = set(tree(net))
    (net / "app.c").write_text("int main(void) { return 1; }")
    (net / "notes").mkdir()
    (net / "notes" / "t.txt").write_text("x")
    done = exeunt(*command, *(("--name", "other") if target == "c" else ()))
    assert done.status == 0, done.err
    found = tree(net)
    assert found.pop("app.c") == b"int main(void) { return 1; }"
    assert found.pop("notes/t.txt") == b"x"
    if target == "c":
        assert set(found) == {re.sub(r"(?<!re)net", "other", name) for name in made}
        assert json.loads(found["report.json"])["files"] == sorted(found)
    else:
        assert set(found) == made
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


def test_an_export_without_a_list_of_its_files_is_not_guessed_at(
    exeunt: Exeunt, tiny: Path, tmp_path: Path
) -> None:
    net = tmp_path / "net"
    command = ("export", tiny, "--dtype", "float32", "--out", net)
    assert exeunt(*command).status == 0
    report = json.loads((net / "report.json").read_text())
    del report["files"]
    (net / "report.json").write_text(json.dumps(report))
    before = tree(net)
    done = exeunt(*command)
    assert done.status == 2
    assert "kept no list of its files" in done.err
    assert "choose another --out" in done.err
    assert tree(net) == before


def test_weights_of_another_network_are_not_replaced(
    exeunt: Exeunt, tiny: Path, images: Path, tmp_path: Path
) -> None:
    net, info = load_weights(tiny)
    tensors = net.state_dict()
    other, again, photo = (tmp_path / name for name in ("o.safetensors", "a.safetensors", "p.jpg"))
    save_weights(other, {name: t + 1 for name, t in tensors.items()}, info)
    photo.write_bytes(b"a photograph")
    command = ("calibrate", tiny, images, "--policy", "full", "--out")
    for out in (other, photo):
        before = out.read_bytes()
        run = exeunt(*command, out)
        assert run.status == 2
        assert f"--out {out} is there and does not hold the weights of {tiny}" in run.err
        assert out.read_bytes() == before
    assert [exeunt(*command, again).status for _ in range(2)] == [0, 0]


def test_what_is_read_is_not_replaced(
    exeunt: Exeunt, tiny: Path, regression: Path, table_file: Path, images: Path, tmp_path: Path
) -> None:
    image, listed = tmp_path / "cat.png", table_file.with_name("copy.csv")
    shutil.copy(images / "dots" / "00.png", image)
    shutil.copy(table_file, listed)
    commands = (
        ("demo", image, "--model", tiny, "--out", image),
        ("demo", tmp_path, "--model", tiny, "--out", image),
        ("eval", regression, listed, "--csv", listed),
        ("profile", tiny, "--csv", tiny),
        ("bench", regression, "--data", listed, "--engines", "torch", "--csv", listed),
    )
    before = {path: path.read_bytes() for path in (image, listed, tiny)}
    for command in commands:
        run = exeunt(*command)
        assert run.status == 2
        assert "would replace what is read; choose another name" in run.err
    assert {path: path.read_bytes() for path in before} == before
    listed.unlink()


def test_a_part_of_a_run_is_not_replaced(exeunt: Exeunt, tiny: Path, tmp_path: Path) -> None:
    for name in ("run.json", "metrics.csv"):
        (tmp_path / name).write_text("mine")
    run = exeunt("profile", tiny, "--csv", tmp_path / "metrics.csv")
    assert run.status == 2
    assert "would replace a part of a run" in run.err
    assert (tmp_path / "metrics.csv").read_text() == "mine"


def test_what_cannot_be_written_is_said_before_the_work(
    exeunt: Exeunt, tiny: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*_: object, **__: object) -> None:
        raise AssertionError("it works")

    monkeypatch.setattr("exeunt.report.page.write_page", work)
    (tmp_path / "file").touch()
    (tmp_path / "x.html").mkdir()
    for out, said in (("file/x.html", "file is no folder"), ("x.html", "is a folder; give a file")):
        run = exeunt("report", tiny, images, "--out", tmp_path / out)
        assert run.status == 2
        assert said in run.err


WRITING = {
    "calibrate": ("calibrate", "WEIGHTS", "IMAGES", "--policy", "full", "--out", "x.safetensors"),
    "record": ("record", "WEIGHTS", "IMAGES", "--out", "x.exits"),
    "c": ("export", "WEIGHTS", "--dtype", "float32", "--out", "x"),
    "onnx": ("export", "WEIGHTS", "--target", "onnx", "--out", "x"),
    "eval": ("eval", "WEIGHTS", "IMAGES", "--csv", "x.csv"),
    "plot": ("profile", "WEIGHTS", "--convention", "paper", "--plot", "x.png"),
    "report": ("report", "WEIGHTS", "IMAGES", "--thumbnails", "0", "--out", "x.html"),
}


@pytest.fixture
def command(
    request: pytest.FixtureRequest, tiny: Path, images: Path, tmp_path: Path
) -> list[object]:
    given = {"WEIGHTS": tiny, "IMAGES": images}
    *words, out = WRITING[request.param]
    return [*(given.get(word, word) for word in words), tmp_path / "disk" / out]


@pytest.mark.parametrize("command", WRITING, indirect=True)
def test_a_full_disk_is_one_line_that_names_the_file_that_was_meant(
    command: list[object], exeunt: Exeunt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk says that it is full when what was written is flushed."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "disk").mkdir()
    monkeypatch.setattr(os, "fsync", full)
    run = exeunt(*command)
    said = f"exeunt: error: {command[-1]}"
    assert run.status == 1
    assert run.err.splitlines()[-1].startswith(said)
    assert run.err.endswith(": cannot be written (No space left on device)\n")
    left = {path.name for path in (tmp_path / "disk").iterdir()}
    assert left <= {"x.exits.partial"}


@pytest.mark.skipif(not ROOT or not hasattr(os, "seteuid"), reason="needs root, to stop being it")
@pytest.mark.parametrize("command", WRITING, indirect=True)
def test_a_folder_of_somebody_else_is_named(
    command: list[object], exeunt: Exeunt, tiny: Path, images: Path, tmp_path: Path
) -> None:
    (tmp_path / "disk").mkdir(mode=0o755)
    for folder in (images, tiny.parent, tmp_path, *tmp_path.parents[:-2]):
        folder.chmod(0o755)
    os.seteuid(65534)
    try:
        run = exeunt(*command)
    finally:
        os.seteuid(0)
    assert run.status in (1, 2), run.err
    assert f"{command[-1]}: cannot be written (" in run.err
    assert not list((tmp_path / "disk").iterdir())


def test_a_disk_that_fills_while_it_is_recorded(
    exeunt: Exeunt, tiny: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from exeunt.evaluate.partial import PartialTable

    append = PartialTable.append

    class Full:
        """A file on a full disk: also what is left in its buffer cannot be written on closing."""

        def __init__(self, file: Any) -> None:
            self.file = file

        def write(self, _: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def close(self) -> None:
            self.file.close()
            self.write(b"")

    def run_out(self: PartialTable, *batch: Any) -> None:
        append(self, *batch)
        self._file = Full(self._file)  # type: ignore[assignment]

    out, whole = tmp_path / "t.exits", tmp_path / "whole.exits"
    command = ("record", tiny, images, "--batch-size", 4, "--out")
    assert exeunt(*command, whole).status == 0
    with monkeypatch.context() as patch:
        patch.setattr(PartialTable, "append", run_out)
        run = exeunt(*command, out)
    assert run.status == 1
    assert run.err == f"exeunt: error: {out}: cannot be written (No space left on device)\n"
    assert exeunt(*command, out, "--resume").status == 0
    assert out.read_bytes() == whole.read_bytes()
    assert len(load_table(out)) == 18
    assert files.leftover(out) is None
