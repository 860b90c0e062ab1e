"""What all commands share: fast help, errors without tracebacks, exit statuses."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

import exeunt as package
from exeunt.errors import ExeuntError


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "arguments", [["--help"], ["list", "--help"], ["eval", "--help"], ["demo", "--help"]]
)
def test_help_does_not_wait_for_torch(arguments: list[str]) -> None:
    done = python(
        "import sys\n"
        "from exeunt.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "heavy = {'torch', 'numpy', 'PIL', 'matplotlib'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n",
        *arguments,
    )
    assert done.returncode == 0, done.stderr
    assert "Usage: exeunt" in done.stdout


def test_import_does_not_wait_for_torch() -> None:
    done = python("import sys, exeunt\nexeunt.ExeuntError\nassert 'torch' not in sys.modules")
    assert done.returncode == 0, done.stderr


def test_public_names() -> None:
    for name in package.__all__:
        assert getattr(package, name) is not None
        assert name in dir(package)
    from exeunt.evaluate import replay

    assert package.replay is replay
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = package.nonsense  # type: ignore[attr-defined]


def test_python_dash_m_and_version() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "exeunt", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"exeunt {package.__version__}\n"


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (ExeuntError("wrong"), 2, "exeunt: error: wrong\n"),
        (OSError(28, "No space left on device", "a.csv"), 1, "a.csv: No space left on device\n"),
        (KeyboardInterrupt(), 130, "exeunt: interrupted\n"),
    ],
)
def test_what_goes_wrong_is_one_line(
    error: BaseException,
    status: int,
    line: str,
    exeunt: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("exeunt.models.list_models", fail)
    run = exeunt("list")
    assert run.status == status
    assert run.err.endswith(line)
    assert run.err.count("\n") == 1
    assert run.out == ""


def test_an_unknown_option_is_typers(exeunt: Callable[..., Any]) -> None:
    run = exeunt("list", "--nonsense")
    assert run.status == 2
    assert "--nonsense" in run.err


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no SIGPIPE there")
def test_a_reader_that_goes_away_is_no_error(weights: Path, images: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "exeunt", "predict", str(weights), str(images / "waves")]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert done.stderr == ""


def test_every_command_is_there() -> None:
    from exeunt.cli import app

    commands = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert commands == {
        *("list", "info", "train", "eval", "record", "calibrate", "report", "predict"),
        *("profile", "export", "verify", "bench", "demo", "vww"),
        *("score", "push", "pull"),
    }
