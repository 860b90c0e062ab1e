"""Kills a process at each step that it takes on disk."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

# What is told before it happens (`sys.addaudithook`), and where the path is among the arguments.
STEPS = {
    **{f"os.{name}": 0 for name in ("rename", "remove", "mkdir", "rmdir", "chmod", "truncate")},
    **{"os.link": 1, "os.symlink": 1, "open": 0},
}
KILLED, ENDED = 77, 0


def steps_of(folder: Path, work: Callable[[], object], kill_at: int | None = None) -> list[str]:
    """Works in another process, and names the steps that it takes on disk below the folder. It dies
    before the one of the given number, or, where that opens a file to write, with rubbish in it.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        with os.fdopen(reading) as pipe:
            steps = pipe.read().split()
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        assert code == (ENDED if kill_at is None else KILLED), f"killed at {kill_at}: {code}"
        return steps
    root, count = str(folder), 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event not in STEPS or (kill_at is not None and count > kill_at):
            return
        path = arguments[STEPS[event]]
        if not isinstance(path, str | os.PathLike) or not os.fspath(path).startswith(root):
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return
        os.write(writing, f"{event}\n".encode())
        count += 1
        if count - 1 == kill_at:
            if event == "open":
                torn = os.O_TRUNC if arguments[2] & os.O_TRUNC else os.O_APPEND
                os.write(os.open(path, os.O_WRONLY | os.O_CREAT | torn, 0o666), b"torn")
            os._exit(KILLED)

    try:
        torch.set_num_threads(1)  # those of the parent are not here
        sys.addaudithook(hook)
        work()
        os._exit(ENDED)
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(1)


def kill_everywhere(
    folder: Path,
    prepare: Callable[[], object],
    work: Callable[[], object],
    check: Callable[[], object],
    finish: Callable[[], object] | None = None,
    last: int = 0,
) -> int:
    """Kills the work at one step after the other and looks at what is left; then it must succeed
    when it is done again, and leave what it leaves otherwise.

    Args:
        folder: where all of it happens; emptied between.
        prepare: makes what is there before.
        work: what is killed.
        check: looks at what a killed one leaves.
        finish: how it is done again, if not by the same call.
        last: of how many steps at the end; by default of all, but where many of one kind follow
            each other, of the outer ones and some between.

    Returns:
        How often it was killed.
    """

    def begin() -> None:
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        prepare()

    begin()
    steps = steps_of(folder, work)
    whole = names(folder)
    around = zip(["", *steps], steps, [*steps[1:], ""], strict=False)
    told = [i for i, near in enumerate(around) if len(set(near)) > 1 or i % 8 == 0]
    chosen = told[-last:]
    for step in chosen:
        begin()
        assert steps_of(folder, work, step) == steps[: step + 1]
        check()
        (finish or work)()
        assert names(folder) == whole, f"killed at step {step}: {steps[step]}"
    return len(chosen)


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
