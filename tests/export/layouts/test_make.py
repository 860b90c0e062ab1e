"""An exported folder of make's, and what a layout leaves out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from exeunt.errors import ExeuntError
from exeunt.export.c import build_host
from exeunt.export.c.host import run_tool
from exeunt.export.c.layouts import LAYOUTS
from exeunt.export.c.report import listed_files


def test_both_are_tested(everything: Path) -> None:
    for name in ("one", "two"):
        folder = str(everything / name)
        assert "passed" in run_tool(["make", "-C", folder, "test", "CFLAGS=-O0"])
        run_tool(["make", "-C", folder, "clean"])


def test_a_layout_alone_has_its_files_and_no_others(
    write_both: Any, everything: Path, tmp_path: Path
) -> None:
    """And the sources where they always lie, so that `exeunt verify` builds any of them."""
    folder = write_both(tmp_path, "esp-idf") / "one"
    every = {path.format(prefix="one") for files in LAYOUTS.values() for path in files}
    mine = {path.format(prefix="one") for path in LAYOUTS["esp-idf"]}
    found, whole = set(listed_files(folder)), set(listed_files(everything / "one"))
    assert found & every == mine
    assert whole - found == every - mine
    assert {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} == found
    build_host(folder, tmp_path / "program", ("-O0",))


def test_a_layout_that_there_is_not(write_both: Any, tmp_path: Path) -> None:
    with pytest.raises(ExeuntError, match=r"layout must be one of all, make, cmake.*, not 'bazel'"):
        write_both(tmp_path, "bazel")
    assert not (tmp_path / "one").exists()
