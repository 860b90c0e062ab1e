"""An exported folder, built and run on this machine."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from exeunt.errors import ExeuntError
from exeunt.export.c.shape import CLASSIFY, SELF_TEST, Shape

STRICT = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off")
CHECKED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")

_TOLD_LINES = 12
_WRONG = re.compile(r"\berrors?\b|\bundefined reference\b|\bfault\b|\boverflowed\b", re.IGNORECASE)


@dataclass(frozen=True)
class ExitAnswer:
    """What one exit says of one image.

    Attributes:
        image: its number.
        exit_index: counted from 0.
        class_index: of the largest score.
        leave: whether the policy is satisfied.
        scores: K of them, as they are printed.
    """

    image: int
    exit_index: int
    class_index: int
    leave: bool
    scores: tuple[str, ...]

    @classmethod
    def read(cls, words: Sequence[str]) -> ExitAnswer:
        """From the words of a line: image, exit, class, leave, scores."""
        image, exit_index, class_index, leave = map(int, words[:4])
        return cls(image, exit_index, class_index, bool(leave), tuple(words[4:]))


def build_host(
    folder: Path,
    program: Path,
    flags: Sequence[str] = CHECKED,
    main: str | Path = CLASSIFY,
) -> None:
    """Compiles an exported folder with a program, strictly, by default with sanitizers.

    Only what was exported is compiled, and of the runtime what the network uses.

    Args:
        folder: the exported one.
        program: to make.
        flags: besides the strict ones.
        main: source of the program, relative to the folder.

    Raises:
        ExeuntError: there is no compiler, or it refuses or makes nothing; with what it says.
    """
    compiler, shape = find_compiler(), Shape.read(folder)
    sources = [*shape.includes, *shape.sources(str(main))]
    program.unlink(missing_ok=True)
    said = run_tool([*compiler, *STRICT, *flags, *sources, "-o", str(program)])
    if not program.is_file():
        raise ExeuntError(
            f"{shlex.join(compiler)} ended without an error and made no program"
            f"{f', saying: {_gist(said)}' if said.strip() else ''}; it has to be a C compiler "
            "(cc, gcc, clang), which CC names"
        )


def run_self_test(folder: Path, program: Path, flags: Sequence[str] = CHECKED) -> str:
    """Builds the test of an exported folder as `program`, runs it and gives back what it says.

    Raises:
        ExeuntError: it cannot be built, or fails.
    """
    build_host(folder, program, flags, SELF_TEST)
    return run_tool([str(program)])


def find_compiler() -> list[str]:
    """The words of `$CC`, or else the compiler of the system.

    Raises:
        ExeuntError: there is none, or `$CC` cannot be read.
    """
    named = os.environ.get("CC", "")
    try:
        words = shlex.split(named)
    except ValueError as error:
        raise ExeuntError(
            f"CC={named}: {str(error).lower()}; give a command, as CC='ccache gcc'"
        ) from error
    found = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not words and found is None:
        raise ExeuntError("no C compiler: install one, or name it with CC=")
    return words or [str(found)]


def run_tool(
    command: Sequence[str], timeout_s: float = 600, folder: str | Path | None = None
) -> str:
    """Runs a program, in a folder if one is given, and gives back what it printed.

    Raises:
        ExeuntError: it cannot be started, fails or takes too long; with what it said was wrong.
    """
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_s,
            check=False,
            cwd=folder,
        )
    except subprocess.TimeoutExpired as error:
        raise ExeuntError(f"{command[0]}: not done after {timeout_s:.0f} s") from error
    except OSError as error:
        raise ExeuntError(f"{command[0]}: {error.strerror or error}") from error
    if done.returncode:
        said = _gist(done.stderr.strip() or done.stdout)
        raise ExeuntError(f"{Path(command[0]).name} failed with status {done.returncode}: {said}")
    return done.stdout


def _gist(text: str) -> str:
    """Of what a tool said: some whole lines, from the first that tells an error, or the last."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip(" =")]
    last = max(0, len(lines) - _TOLD_LINES)
    first = next((k for k, line in enumerate(lines) if _WRONG.search(line)), last)
    return "\n".join(lines[min(first, last) :][:_TOLD_LINES])


def run_host(program: Path, images: Path) -> Iterator[ExitAnswer]:
    """Every exit's answer for raw images that lie one after the other in a file."""
    for line in run_tool([str(program), "--all", str(images)]).splitlines():
        yield ExitAnswer.read(line.split())
