"""Runs the commands of `docs/memory.md`, and puts into the page what they print.

    python docs/make_memory.py

As `make_adaptive.py`, without data; programs of `experiments` may stand among the commands. Takes
some minutes.
"""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import sys
from pathlib import Path

import make_adaptive

from exeunt.errors import ExeuntError
from exeunt.files import replacing

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "memory.md"


def run(command: str) -> str:
    """What a command line prints.

    Raises:
        ExeuntError: It fails; with what it says.
    """
    words = shlex.split(command, comments=True)
    if words[0] != "python":
        return make_adaptive.run(command)
    done = subprocess.run(
        [sys.executable, *words[1:]], capture_output=True, text=True, check=False, cwd=ROOT
    )
    if done.returncode:
        raise ExeuntError(f"{command!r} failed: {done.stderr.strip()}")
    return done.stdout


def main() -> None:
    """Rewrites the page and its pictures."""
    with contextlib.chdir(ROOT):
        text = make_adaptive.refreshed(PAGE.read_text(encoding="utf-8"), run)
    with replacing(PAGE) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
