from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from exeunt import folders
from exeunt.errors import ExeuntError, WriteError
from exeunt.folders import replacing_folder

RECORD = "record"


def owned(folder: Path) -> Collection[str]:
    """What the record lists."""
    if not (folder / RECORD).exists():
        raise ExeuntError(f"{folder} holds something else")
    return (folder / RECORD).read_text().split()


def write(folder: Path, **files: str) -> None:
    """Writes files, with `__` for `/` and `_` for `.` in their names, and a record."""
    names = {name.replace("__", "/").replace("_", "."): text for name, text in files.items()}
    with replacing_folder(folder, owned) as made:
        for name, text in names.items():
            (made / name).parent.mkdir(exist_ok=True)
            (made / name).write_text(text)
        (made / RECORD).write_text("\n".join([*names, RECORD]))


def tree(folder: Path) -> dict[str, str]:
    """All files and empty folders, and where links go."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file():
            found[name] = path.read_text()
        elif not any(path.iterdir()):
            found[name] = "empty"
    return found


@pytest.fixture(params=["exchange", "renames", "copies"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Systems that exchange names, that do not, and disks without hard links."""

    def refuse(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    if request.param != "exchange":
        monkeypatch.setattr(folders, "_exchange", lambda *_: False)
    if request.param == "copies":
        monkeypatch.setattr(Path, "hardlink_to", refuse)
    return str(request.param)


@pytest.mark.usefixtures("system")
def test_what_was_listed_is_replaced_and_all_else_stays(tmp_path: Path) -> None:
    net = tmp_path / "a" / "net"
    write(net, net_c="1", exn_c="1", python__weights="1", old__x="1")
    (net / "app.c").write_text("mine")
    (net / "app.c").chmod(0o640)
    (net / "python" / "notes").write_text("mine too")
    (net / "notes" / "deep").mkdir(parents=True)
    (net / "notes" / "deep" / "a").write_text("deep")
    (net / "empty").mkdir(mode=0o750)
    (net / "here").symlink_to("net.c")
    (net / "nowhere").symlink_to("/nowhere")
    (net / "above").symlink_to("../..")
    times = {name: (net / name).stat().st_mtime_ns for name in ("app.c", "notes", "notes/deep/a")}
    write(net, net_c="2", self_c="2", python__weights="2")
    assert tree(net) == {
        "above": "-> ../..",
        "app.c": "mine",
        "empty": "empty",
        "here": "-> net.c",
        "net.c": "2",
        "notes/deep/a": "deep",
        "nowhere": "-> /nowhere",
        "python/notes": "mine too",
        "python/weights": "2",
        "record": "net.c\nself.c\npython/weights\nrecord",
        "self.c": "2",
    }
    assert times == {name: (net / name).stat().st_mtime_ns for name in times}
    assert [(net / name).stat().st_mode & 0o777 for name in ("app.c", "empty")] == [0o640, 0o750]
    assert [path.name for path in net.parent.iterdir()] == ["net"]


def test_a_fresh_folder_is_as_the_user_makes_them(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    write(tmp_path / "net", a="1")
    modes = [(tmp_path / name).stat().st_mode for name in ("plain", "net")]
    assert modes[0] == modes[1]
    (tmp_path / "net").chmod(0o710)
    write(tmp_path / "net", a="2")
    assert (tmp_path / "net").stat().st_mode & 0o777 == 0o710


def test_a_link_to_a_folder_stays_one(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "net").symlink_to("far")
    write(tmp_path / "net", a="1")
    write(tmp_path / "net", a="2")
    assert (tmp_path / "net").is_symlink()
    assert (tmp_path / "far" / "a").read_text() == "2"


def mine(folder: Path) -> None:
    (folder / "app.c").write_text("mine")


def linked(folder: Path) -> None:
    (folder / "net.c").unlink()
    (folder / "net.c").symlink_to(__file__)


def made_a_folder(folder: Path) -> None:
    (folder / "net.c").unlink()
    (folder / "net.c").mkdir()


def file_in_the_way(folder: Path) -> None:
    (folder / "python").write_text("mine")


@pytest.mark.parametrize(
    ("deed", "named"),
    [(mine, "app.c"), (linked, "net.c"), (made_a_folder, "net.c"), (file_in_the_way, "python")],
)
def test_new_files_replace_none_that_were_not_written(
    tmp_path: Path, deed: Callable[[Path], None], named: str
) -> None:
    net = tmp_path / "net"
    write(net, net_c="1")
    deed(net)
    before = tree(net)
    with pytest.raises(ExeuntError, match=f"net/{named} is not what was exported there"):
        write(net, net_c="2", app_c="2", python__weights="2")
    assert tree(net) == before
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


def test_what_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("mine")
    (tmp_path / "file").write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(ExeuntError, match="photos holds something else"):
        write(tmp_path / "photos", a="1")
    with pytest.raises(ExeuntError, match="file is a file; choose another --out"):
        write(tmp_path / "file", a="1")
    with pytest.raises(WriteError, match=r"file/net: cannot be written \(Not a directory"):
        write(tmp_path / "file" / "net", a="1")
    assert tree(tmp_path) == before


@pytest.mark.usefixtures("system")
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_fails_leaves_the_old_one(tmp_path: Path, error: BaseException) -> None:
    net = tmp_path / "net"
    for there in ({}, {"a": "1"}):
        before = tree(tmp_path)

        def fail() -> None:
            with replacing_folder(net, owned) as made:
                (made / "a").write_text("2")
                raise error

        said = r"net: cannot be written \(No space" if isinstance(error, OSError) else None
        kind = WriteError if isinstance(error, OSError) else KeyboardInterrupt
        with pytest.raises(kind, match=said):
            fail()
        assert tree(tmp_path) == before
        write(net, **(there or {"a": "1"}))


def test_renames_that_fail_in_the_middle_are_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "net", a="1")
    (tmp_path / "net" / "app.c").write_text("mine")
    before, rename = tree(tmp_path), Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(folders, "_exchange", lambda *_: False)
    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(WriteError, match=r"net: cannot be written \(Input/output error\)"):
        write(tmp_path / "net", a="2")
    assert tree(tmp_path) == before


def test_what_changes_while_names_are_exchanged_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An editor that writes beside and renames, and a file that comes at the last moment."""
    net, exchange = tmp_path / "net", folders._exchange
    write(net, a="1")
    (net / "app.c").write_text("mine")

    def interfere(one: Path, other: Path) -> bool:
        (net / "new").write_text("mine, later")
        (net / "new").replace(net / "app.c")
        (net / "more").mkdir()
        (net / "more" / "b").write_text("more")
        return exchange(one, other)

    monkeypatch.setattr(folders, "_exchange", interfere)
    write(net, a="2")
    assert tree(net) == {
        "a": "2",
        "app.c": "mine, later",
        "more/b": "more",
        "record": "a\nrecord",
    }


def test_two_at_once_take_turns(tmp_path: Path) -> None:
    barrier = threading.Barrier(3)

    def work(text: str) -> None:
        barrier.wait()
        for _ in range(5):
            write(tmp_path / "net", a=text, b=text, c=text)

    threads = [threading.Thread(target=work, args=(text,)) for text in "xyz"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = tree(tmp_path / "net")
    assert found["a"] == found["b"] == found["c"]
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


@pytest.mark.skipif(os.name != "posix", reason="processes are forked")
@pytest.mark.parametrize(
    ("system", "old"),
    [("exchange", False), ("exchange", True), ("renames", True)],
    indirect=["system"],
)
def test_a_reader_finds_one_of_them_whole_wherever_the_process_is_killed(
    tmp_path: Path, system: str, old: bool, killed_everywhere: Callable[..., int]
) -> None:
    """The moment between two renames is the exception: nothing is there, and the next call, were it
    refused at once, brings the old folder back.
    """
    net = tmp_path / "net"

    def prepare() -> None:
        if old:
            write(net, a_c="1", b_c="1", python__w="1")
            (net / "app.c").write_text("mine")
            (net / "notes").mkdir()
            (net / "notes" / "n").write_text("mine")

    def again() -> None:
        write(net, a_c="2", c_c="2", python__w="2")

    def check() -> None:
        nonlocal absent
        if old and not net.exists():
            assert system != "exchange"
            absent += 1
            with pytest.raises(ZeroDivisionError), replacing_folder(net, owned):
                _ = 1 / 0
            assert tree(net) == before
        else:
            assert tree(net) in (before, after)

    absent = 0
    prepare()
    before = tree(net)
    again()
    after = tree(net)
    assert killed_everywhere(tmp_path, prepare, again, check) > (15 if old else 7)
    assert absent == (1 if old and system != "exchange" else 0)
