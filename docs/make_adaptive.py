"""Runs the commands of `docs/adaptive.md`, and puts into the page what they print.

    python docs/make_adaptive.py FOLDER

FOLDER holds the data that the commands name, such as `imagenette128`. Commands stand in blocks
marked `sh` and run in the order of the page, in an empty place with links to `docs` and to the
data; what one prints goes into the block marked `text` below it, all of it or the lines that the
mark names (`text 7-20`). Pictures that the page does not show are removed again.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from exeunt.errors import ExeuntError
from exeunt.files import replacing

HERE = Path(__file__).parent
PAGE, PICTURES = "adaptive.md", "adaptive"
BLOCKS = re.compile(
    r"```sh\n(?P<commands>.*?)```(?:\n+```text(?P<lines>[^\n]*)\n.*?```)?", re.DOTALL
)


def run(command: str) -> str:
    """What a command line prints.

    Raises:
        ExeuntError: It fails; with what it says.
    """
    program, *arguments = shlex.split(command, comments=True)
    if program != "exeunt":
        raise ExeuntError(f"only exeunt's own commands are run, not {command!r}")
    asked = [sys.executable, "-m", "exeunt", *arguments]
    result = subprocess.run(asked, capture_output=True, encoding="utf-8", check=False)
    if result.returncode:
        raise ExeuntError(f"{command!r} failed: {result.stderr.strip()}")
    return result.stdout


def refreshed(text: str, runs: Callable[[str], str] = run) -> str:
    """The page with what its commands print now; `runs` gives what a command line prints."""

    def block(match: re.Match[str]) -> str:
        printed = "".join(runs(line) for line in match["commands"].splitlines())
        shell = f"```sh\n{match['commands']}```"
        if match["lines"] is None:
            return shell
        return f"{shell}\n\n```text{match['lines']}\n{cut(printed, match['lines'])}```"

    return BLOCKS.sub(block, text)


def cut(printed: str, lines: str) -> str:
    """The lines of a text that ` 7-20` names; all without it."""
    if not lines.strip():
        return printed
    first, last = map(int, lines.split("-"))
    return "".join(printed.splitlines(keepends=True)[first - 1 : last])


def main(folder: Path) -> None:
    """Rewrites the page and its pictures."""
    page = (HERE / PAGE).resolve()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "docs").symlink_to(HERE.resolve())
        for data in folder.resolve().iterdir():
            (place / data.name).symlink_to(data)
        (place / "runs").mkdir()
        with contextlib.chdir(place):
            text = refreshed(page.read_text(encoding="utf-8"))
    with replacing(page) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    for picture in (HERE / PICTURES).rglob("*.*"):
        if f"]({picture.relative_to(HERE).as_posix()})" not in text:
            picture.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
