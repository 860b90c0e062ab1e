"""What other systems lack or do otherwise, taken away or done otherwise here.

No Windows and no macOS is at hand; this is what can be known of them without.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest

import exeunt
from exeunt import files, folders

PACKAGE = Path(exeunt.__file__).parent
POSIX_MODULES = ("fcntl", "resource", "termios", "pwd", "grp", "tty", "pty", "syslog")

BARE = """
import os, sys, signal
import torch, PIL.Image, numpy, typer, rich.console, rich.progress, safetensors.torch
import multiprocessing, concurrent.futures, subprocess, tempfile, importlib.metadata
for name in {modules!r}:
    sys.modules[name] = None
for name in ("fork", "chown", "lchown", "geteuid", "getuid", "getloadavg", "sched_getaffinity",
             "mkfifo", "statvfs", "killpg", "O_NOFOLLOW", "O_DIRECTORY", "O_NONBLOCK"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("SIGKILL", "SIGALRM", "SIGHUP", "SIGUSR1"):
    delattr(signal, name)
sync = os.fsync
def fsync(descriptor):  # Windows flushes what may be written alone
    os.write(descriptor, b"")
    sync(descriptor)
os.fsync = fsync
import exeunt.files, exeunt.locks
exeunt.files.SYNC_MODE = "r+b"
assert exeunt.locks.fcntl is None
from exeunt.cli import app
app({words}, prog_name="exeunt")
"""


def bare(words: list[str], encoding: str) -> str:
    """Runs a command without what is POSIX's alone, and without a compiler."""
    environment = {
        "PYTHONPATH": str(PACKAGE.parent),
        "PATH": "",
        "PYTHONIOENCODING": encoding,
        "PYTHONUTF8": "0",
        "LC_ALL": "C.UTF-8",  # names of files, as Windows has them
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", BARE.format(modules=POSIX_MODULES, words=ascii(words))],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode(encoding, "replace")
    return done.stdout.decode(encoding)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph in folders of two classes, whose names are in no code page."""
    root = tmp_path_factory.mktemp("Bilder") / "Fotos 写真"
    coffee = (PACKAGE / "report" / "coffee.jpg").read_bytes()
    for kind in ("food", "cat"):
        (root / kind).mkdir(parents=True)
        for n in range(3):
            (root / kind / f"ä{n} é.jpg").write_bytes(coffee + bytes(n))
    return root


MODEL = "rex_mobilenetv2_075.everyday64"


def test_predict_in_a_code_page(photographs: Path) -> None:
    out = bare(["predict", MODEL, str(photographs / "food")], "cp1252")
    assert out.count("food  ") == 3
    assert "\\u5199" in out  # what the page has not is told as an escape


def test_record_without_what_is_posix_alone(photographs: Path, tmp_path: Path) -> None:
    words = ["record", MODEL, str(photographs), "--split", "all", "--out"]
    assert "6 images" in bare([*words, str(tmp_path / "x.exits")], "cp437")
    assert set(exeunt.load_table(tmp_path / "x.exits").names) == {
        f"{kind}/ä{n} é.jpg" for kind in ("food", "cat") for n in range(3)
    }
    assert [path.name for path in tmp_path.iterdir()] == ["x.exits"]


def test_files_are_flushed_through_a_handle_that_windows_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")
    modes = []

    def fsync(descriptor: int) -> None:
        modes.append(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE)

    monkeypatch.setattr(os, "fsync", fsync)
    for mode in ("rb", "r+b"):
        monkeypatch.setattr(files, "SYNC_MODE", mode)
        with files.replacing(tmp_path / "one") as temporary:
            temporary.write_bytes(b"text")
        with folders.replacing_folder(tmp_path / mode[:2], lambda _: ()) as new:
            (new / "two").write_bytes(b"text")
    assert modes == [os.O_RDONLY] * 2 + [os.O_RDWR] * 2
    assert (tmp_path / "one").read_bytes() == b"text"


def guarded(tree: ast.Module) -> set[ast.AST]:
    """What is inside a `try` that expects it to fail."""
    return {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.Try)
        for part in node.body
        for inner in ast.walk(part)
    }


def test_modules_of_posix_alone_are_asked_for_with_care() -> None:
    found = []
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        safe = guarded(tree)
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            if node not in safe and set(names) & set(POSIX_MODULES):
                found.append(f"{path}:{getattr(node, 'lineno', 0)}")
    assert not found


def test_names_of_images_have_forward_slashes_on_every_system() -> None:
    """Whatever becomes a name goes through `as_posix`; `str` of a relative path would not."""
    assert PureWindowsPath("cats\\one.jpg").as_posix() == "cats/one.jpg"
    assert PurePosixPath("cats/one.jpg").as_posix() == "cats/one.jpg"
    bare_paths = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and getattr(node.func, "id", "") == "str"
                and any(
                    isinstance(inner, ast.Attribute) and inner.attr == "relative_to"
                    for argument in node.args
                    for inner in ast.walk(argument)
                )
                and "as_posix" not in ast.unparse(node)
            ):
                bare_paths.append(f"{path.relative_to(PACKAGE).as_posix()}")
    assert bare_paths == ["data/layouts.py"]  # in a message
