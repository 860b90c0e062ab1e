"""An exported folder whose arena, compiler or permissions are not as they should be."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from exeunt.data import Transform
from exeunt.errors import ExeuntError
from exeunt.export.c import CModel, Float32, build_host, write_c
from exeunt.export.c.host import run_host, run_self_test, run_tool
from exeunt.graph import build_graph, plan_stream
from exeunt.net import MultiExitNet
from exeunt.policies import parse_policy

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")

SIZE = (6, 5)


@pytest.fixture
def folder(chained: Callable[..., MultiExitNet], tmp_path: Path) -> Path:
    torch.manual_seed(0)
    net = chained(3, [(nn.Conv2d(3, 4, 3), 4)], [])
    plan = plan_stream(build_graph(net, SIZE), 4)
    names = list("abcde")
    write_c(
        CModel("net", "", Float32(parse_policy("full")), plan, Transform(SIZE), names, {}),
        tmp_path / "c",
    )
    return tmp_path / "c"


def arena_bytes(folder: Path) -> int:
    found = re.search(
        r"#define NET_ARENA_BYTES (\d+)", (folder / "net" / "src" / "net.h").read_text()
    )
    assert found is not None
    return int(found[1])


def halve(path: Path, pattern: str) -> None:
    """Halves the number that a pattern has between two groups."""
    text = path.read_text()
    changed = re.sub(pattern, lambda m: f"{m[1]}{int(m[2]) // 8 * 4}{m[3]}", text)
    assert changed != text
    path.write_text(changed)


def test_the_self_test_passes(folder: Path) -> None:
    assert "self-test: passed" in run_tool(["make", "-C", str(folder), "test", "CFLAGS=-O1"])


def test_an_arena_that_is_too_small_fails_the_self_test(folder: Path, tmp_path: Path) -> None:
    wanted = arena_bytes(folder)
    halve(folder / "net" / "src" / "net.h", r"(NET_ARENA_BYTES )(\d+)()")
    assert arena_bytes(folder) < wanted
    with pytest.raises(ExeuntError, match=r"the arena has fewer bytes than .* needs \(-2\)"):
        run_tool(["make", "-C", str(folder), "test", "CFLAGS=-O1"])
    build_host(folder, tmp_path / "program")
    (tmp_path / "raw").write_bytes(bytes(6 * 5 * 3))
    with pytest.raises(ExeuntError, match="the arena has fewer bytes"):
        list(run_host(tmp_path / "program", tmp_path / "raw"))


def test_what_is_written_beside_the_arena_is_found(folder: Path, tmp_path: Path) -> None:
    """Where the network itself believes that it needs half: without sanitizers by the self-test,
    with them by `exeunt verify`, in words that begin with what is wrong.
    """
    halve(folder / "net" / "src" / "net.h", r"(NET_ARENA_BYTES )(\d+)()")
    halve(folder / "net" / "src" / "net.c", r"(\.arena_bytes = )(\d+)(,)")
    with pytest.raises(ExeuntError, match="something was written beside the arena"):
        run_tool(["make", "-C", str(folder), "test", "CFLAGS=-O1"])
    build_host(folder, tmp_path / "program")
    (tmp_path / "raw").write_bytes(bytes(6 * 5 * 3))
    with pytest.raises(ExeuntError) as caught:
        list(run_host(tmp_path / "program", tmp_path / "raw"))
    lines = str(caught.value).splitlines()
    assert re.search(r"status \d+: .*ERROR: AddressSanitizer: global-buffer-overflow", lines[0])
    assert any(re.search(r"in exn_\w+ .*exn_\w+\.[ch]:\d+", line) for line in lines)
    assert len(lines) <= 12


def test_a_folder_has_the_permissions_of_any_other(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ('"unbalanced', r'CC="unbalanced: no closing quotation; give a command, as CC='),
        ("true", "true ended without an error and made no program; it has to be a C compiler"),
        ("echo hello", "echo hello ended without an error .*, saying: hello"),
        ("/no/such/compiler", "/no/such/compiler: No such file or directory"),
        ("false", "false failed with status 1"),
        (os.sep, "/: Permission denied"),
    ],
)
def test_a_compiler_that_is_none_is_named(
    named: str, said: str, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CC", named)
    with pytest.raises(ExeuntError, match=f"(?s){said}"):
        build_host(folder, tmp_path / "program")


@pytest.mark.parametrize("named", ["cc -O0", "", "  "])
def test_a_compiler_may_be_several_words(
    named: str, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CC", named)
    assert "passed" in run_self_test(folder, tmp_path / "program", ())


def test_what_an_older_build_left_is_no_program(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "program").write_text("old")
    monkeypatch.setenv("CC", "true")
    with pytest.raises(ExeuntError, match="made no program"):
        build_host(folder, tmp_path / "program")
