"""An exported folder, built and run on this machine."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from exeunt.errors import ExeuntError

STRICT = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off")
CHECKED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@dataclass(frozen=True)
class Answer:
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
    def read(cls, words: Sequence[str]) -> Answer:
        """From the words of a line: image, exit, class, leave, scores."""
        image, exit_index, class_index, leave = map(int, words[:4])
        return cls(image, exit_index, class_index, bool(leave), tuple(words[4:]))


def build_host(folder: Path, program: Path, flags: Sequence[str] = CHECKED) -> None:
    """Compiles all C files of a folder, strictly, by default with sanitizers.

    Raises:
        ExeuntError: there is no compiler, or it refuses; with what it says.
    """
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise ExeuntError("no C compiler: install one, or name it with CC=")
    try:
        words = shlex.split(compiler)
    except ValueError as error:
        raise ExeuntError(f"CC={compiler!r} is no command line: {error}") from error
    sources = sorted(map(str, folder.glob("*.c")))
    run_tool([*words, *STRICT, *flags, *sources, "-o", str(program)])


def run_tool(command: Sequence[str], timeout_s: float = 600) -> str:
    """Runs a program and gives back what it printed.

    Raises:
        ExeuntError: it fails or takes too long; with the end of what it said.
    """
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ExeuntError(f"{command[0]}: not done after {timeout_s:.0f} s") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise ExeuntError(f"{Path(command[0]).name} failed with status {done.returncode}: {said}")
    return done.stdout


def run_host(program: Path, images: Path) -> Iterator[Answer]:
    """Every exit's answer for raw images that lie one after the other in a file."""
    for line in run_tool([str(program), "--all", str(images)]).splitlines():
        yield Answer.read(line.split())
