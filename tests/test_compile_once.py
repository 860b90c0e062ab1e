"""What compilers of the tests keep is what they would make now."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")


@pytest.fixture
def once(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    made: ModuleType = script(Path(__file__).with_name("compile_once.py"))
    monkeypatch.setenv("PATH", made.install(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    Path("exn.h").write_text("#define ANSWER 3\n")
    Path("exn_one.c").write_text('#include "exn.h"\nint one(void) { return ANSWER + MORE; }\n')
    Path("main.c").write_text("int one(void);\nint main(void) { return one(); }\n")
    return made


def built(*flags: str) -> int:
    """What the program ends with."""
    subprocess.run(["cc", *flags, "main.c", "exn_one.c", "-o", "program"], check=True)
    return subprocess.run(["./program"], check=False).returncode


def test_another_flag_header_or_source_is_compiled_again(once: ModuleType) -> None:
    assert [built("-DMORE=1"), built("-DMORE=2"), built("-DMORE=1")] == [4, 5, 4]
    assert len([*Path("store").glob("*.o")]) == 2
    Path("exn.h").write_text("#define ANSWER 5\n")
    assert built("-DMORE=1") == 6
    Path("exn_one.c").write_text("int one(void) { return 9; }\n")
    assert built("-DMORE=1") == 9
    assert len([*Path("store").glob("*.o")]) == 4


def test_what_is_wrong_stays_wrong(once: ModuleType) -> None:
    for command in (["cc", "-c", "exn_one.c"], ["cc", "main.c", "exn_one.c", "-o", "program"]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "MORE" in done.stderr
    assert not [*Path("store").glob("*.o")]


def test_objects_alone_lie_where_they_are_asked_for(once: ModuleType) -> None:
    subprocess.run(["cc", "-DMORE=0", "-c", "exn_one.c", "-o", "x"], check=True)
    assert not [*Path("store").glob("*.o")], "one alone is the compiler's own"
    for _ in range(2):
        subprocess.run(["cc", "-DMORE=0", "-c", "main.c", "exn_one.c"], check=True)
        assert Path("exn_one.o").read_bytes() == Path("x").read_bytes()
        assert Path("main.o").exists()
    assert len([*Path("store").glob("*.o")]) == 1
