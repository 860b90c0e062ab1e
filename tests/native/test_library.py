"""Finding, choosing and doing without the compiled kernels."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from exeunt.errors import ExeuntError
from exeunt.native import SIMD, build, in_use, library, native, using

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
needs_kernels = pytest.mark.skipif(native() is None, reason=f"kernels: {in_use()}")


def forget() -> None:
    library._loaded.cache_clear()
    library._chosen.cache_clear()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the library is looked for, and nothing lies yet."""
    monkeypatch.setattr(library, "LIBRARY", tmp_path / "libexeunt.so")
    monkeypatch.delenv("EXEUNT_NATIVE", raising=False)
    forget()
    yield tmp_path / "libexeunt.so"
    forget()


def test_without_a_library(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert native() is None
    assert in_use() == "none (not compiled; python -m exeunt.native)"
    monkeypatch.setenv("EXEUNT_NATIVE", "avx2")
    with pytest.raises(ExeuntError, match="EXEUNT_NATIVE='avx2'; one of 0, 1"):
        native()


def test_with_a_file_that_is_none(place: Path) -> None:
    place.write_bytes(b"no library")
    assert native() is None
    assert "is not what was compiled" in in_use()
    build.seal(place).write_text(hashlib.sha256(b"no library").hexdigest())
    forget()
    assert native() is None
    assert "cannot be loaded" in in_use()


def test_a_library_that_was_cut_off_or_changed_is_not_loaded(place: Path) -> None:
    """To load one that was cut off ends the process."""
    whole = bytes(range(256))
    build.seal(place).write_text(hashlib.sha256(whole).hexdigest())
    assert not build.is_whole(place)
    place.write_bytes(whole)
    assert build.is_whole(place)
    for damaged in (whole[: len(whole) // 2], whole[:-1], b"", whole[:-9] + b"x" + whole[-8:]):
        forget()
        place.write_bytes(damaged)
        assert native() is None
        assert in_use() == f"none ({place} is not what was compiled; python -m exeunt.native)"


@needs_compiler
def test_one_that_was_just_built_goes_with_its_own_sources(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build.build(place)
    found = native()
    assert found is None or found.simd in SIMD[1:]
    assert {path.name for path in place.parent.iterdir()} == {"libexeunt.so", "libexeunt.sha256"}
    forget()
    monkeypatch.setattr(library, "digest", lambda: "of other sources")
    assert native() is None
    assert in_use() == "none (compiled from other sources; python -m exeunt.native)"


@pytest.mark.parametrize("compiler", ["false", "true", "no-such-compiler", '"unbalanced'])
def test_a_build_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiler: str
) -> None:
    kept = tmp_path / "libexeunt.so"
    kept.write_bytes(b"older")
    monkeypatch.setenv("CC", compiler)
    with pytest.raises(build.BuildError, match=compiler):
        build.build(kept)
    assert kept.read_bytes() == b"older"


def test_a_machine_without_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(build.BuildError, match="no C compiler"):
        build.build(tmp_path / "libexeunt.so")


@needs_kernels
def test_the_environment_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXEUNT_NATIVE", "0")
    assert native() is None
    assert in_use() == "none (EXEUNT_NATIVE=0)"
    monkeypatch.setenv("EXEUNT_NATIVE", "scalar")
    assert in_use() == "scalar"
    monkeypatch.setenv("EXEUNT_NATIVE", "yes")
    with pytest.raises(ExeuntError, match=r"EXEUNT_NATIVE='yes'; one of 0, 1, scalar"):
        native()
    monkeypatch.delenv("EXEUNT_NATIVE")
    best = native()
    assert best is not None
    there = [simd for number, simd in enumerate(SIMD) if best.library.exeunt_has(number)]
    assert best.simd == there[-1]


def test_a_choice_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXEUNT_NATIVE", "0")
    with using("no such thing"), pytest.raises(ExeuntError):
        native()
    assert in_use() == "none (EXEUNT_NATIVE=0)"
    monkeypatch.delenv("EXEUNT_NATIVE")
    before = in_use()
    with using("0"):
        assert native() is None
    assert in_use() == before


def test_no_torch_is_imported() -> None:
    code = "import sys, exeunt.native.rex as r; assert not {'torch', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
