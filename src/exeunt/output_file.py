"""Files that somebody asks for, looked at before the work that fills them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from exeunt.errors import ExeuntError, WriteError

_OF_A_RUN = ("run.json", "metrics.csv", "last.safetensors", "best.safetensors")


def check_output(option: str, out: Path | None, read: Iterable[str | Path | None] = ()) -> None:
    """Refuses, before work begins, a file that could not be written at its end, or that is one of
    those that the work reads. Any other file of that name will be replaced.

    Args:
        option: that names the file, for the message.
        out: the file; None for none.
        read: what the work reads.

    Raises:
        ExeuntError: when it is one of the files that are read, part of a run, or a folder.
        WriteError: when it cannot be written.
    """
    if out is None:
        return
    for path in read:
        if path is not None and out.is_file() and Path(path).is_file() and out.samefile(path):
            raise ExeuntError(f"{option} {out} would replace what is read; choose another name")
    if out.name in _OF_A_RUN and (out.parent / "run.json").is_file():
        raise ExeuntError(f"{option} {out} would replace a part of a run; choose another name")
    if out.is_dir():
        raise ExeuntError(f"{option} {out} is a folder; give a file")
    above = next(folder for folder in out.absolute().parents if os.path.lexists(folder))
    if not above.is_dir():
        raise ExeuntError(f"{option} {out}: {above} is no folder; choose another")
    if not os.access(above, os.W_OK | os.X_OK):
        raise WriteError(f"{option} {out}: cannot be written ({above} is not yours to write to)")
