from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from exeunt.errors import WriteError
from exeunt.files import HERE, remove_leftovers, replacing


def test_the_new_file_takes_the_place_of_the_old(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old", "readers see the old file until the new one is whole"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_an_interrupted_write_leaves_no_trace(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")

    def write() -> None:
        with replacing(path) as temporary:
            temporary.write_text("ne")
            raise error

    with pytest.raises(type(error)):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_folders_that_are_missing_are_made(tmp_path: Path) -> None:
    with replacing(tmp_path / "a" / "b" / "table.csv") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "a" / "b" / "table.csv").read_text() == "new"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (OSError("encoder error -2 when writing image file"), "encoder error -2 when .*"),
        (PermissionError(errno.EACCES, "Permission denied", "TEMPORARY"), "Permission denied"),
        (PermissionError(errno.EACCES, "Permission denied", "FOLDER"), ".*: Permission denied"),
    ],
)
def test_what_the_system_refuses_names_the_file_that_was_meant(
    tmp_path: Path, error: OSError, reason: str
) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")

    def write() -> None:
        with replacing(path) as temporary:
            temporary.write_text("ne")
            if error.filename:
                error.filename = str({"TEMPORARY": temporary, "FOLDER": tmp_path}[error.filename])
            raise error

    with pytest.raises(WriteError, match=rf"^{path}: cannot be written \({reason}\)$"):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_only_read_is_not_blamed_on_the_one_that_is_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, replacing(tmp_path / "table.csv"):
        (tmp_path / "image.png").read_bytes()
    assert not isinstance(caught.value, WriteError)
    assert not list(tmp_path.iterdir())


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, kind in (("folder", "folder"), ("pipe", "device or pipe")):
        with pytest.raises(WriteError, match=f"it is a {kind}"), replacing(tmp_path / name):
            pass
        assert not (tmp_path / name).is_file()
    (tmp_path / "file").touch()
    with (
        pytest.raises(WriteError, match=r"file/x: cannot be written \(.*/file: "),
        replacing(tmp_path / "file" / "x"),
    ):
        pass


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "table.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("far/table.csv")
    with replacing(tmp_path / "link.csv") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "far" / "table.csv").read_text() == "new"


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    gone, here = ended.pid, os.getppid()
    names = {
        f".a.csv.{gone}.part": False,
        f".a.csv.{gone}.{HERE}.part": False,
        f".a.csv.{here}.{HERE}.part": True,  # of a running process
        f".a.csv.{gone}.{'0' * 8}.part": True,  # of another machine
        f".b.csv.{gone}.{HERE}.part": True,  # of another file
        ".a.csv.mine.part": True,
        f"a.csv.{gone}.part": True,
    }
    for name in names:
        (tmp_path / name).touch()
    with replacing(tmp_path / "a.csv") as temporary:
        temporary.write_text("new")
    assert {name: (tmp_path / name).exists() for name in names} == names
    remove_leftovers(tmp_path, whoever=True)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"a.csv", ".a.csv.mine.part", f"a.csv.{gone}.part"}


def test_permissions_are_the_users_usual_ones(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    with replacing(tmp_path / "ours") as temporary:
        temporary.write_text("private at first")
        temporary.chmod(0o600)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (plain, tmp_path / "ours")]
    assert modes[0] == modes[1]
