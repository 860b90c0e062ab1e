"""Files that anybody may have written, read within bounds."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from exeunt.runner.error import RunnerError

MOST_BYTES = 1 << 26
"""Of a document, unless told otherwise."""

MOST_DEPTH = 64
"""Of lists and objects in each other."""


def bytes_of(file: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """A file, whole. Devices and pipes, which may never end, are not read.

    Raises:
        RunnerError: when it cannot be read, is no ordinary file, or has more than `most_bytes`.
    """
    try:
        found = file.stat()
        if stat.S_ISDIR(found.st_mode):
            raise RunnerError(f"{file}: a folder, where a file was expected")
        if not stat.S_ISREG(found.st_mode):
            raise RunnerError(f"{file}: not an ordinary file")
        if found.st_size > most_bytes:
            raise RunnerError(f"{file}: {found.st_size:,} bytes; at most {most_bytes:,} are read")
        return file.read_bytes()
    except OSError as error:
        raise RunnerError(f"{file}: cannot be read ({error.strerror or error})") from error


def parse_json(text: str | bytes, hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """Reads JSON whose objects have no key twice and that is no deeper than `MOST_DEPTH`.

    Args:
        text: of it.
        hook: what to make of an object, innermost first.

    Raises:
        ValueError: saying what is wrong.
    """

    def read(pairs: list[tuple[str, Any]]) -> Any:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            raise ValueError(f"{max(names, key=names.count)!r} occurs twice in an object")
        return found if hook is None else hook(found)

    try:
        found = json.loads(text, object_pairs_hook=read)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    refuse_depth(found)
    return found


def refuse_depth(found: Any) -> None:
    """Refuses lists and dicts that are deeper in each other than `MOST_DEPTH`.

    Raises:
        ValueError: saying so.
    """
    level = [found]
    for _ in range(MOST_DEPTH + 1):
        nested = [value for value in level if isinstance(value, dict | list)]
        level = [
            part
            for value in nested
            for part in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return
    raise ValueError(_TOO_DEEP)


_TOO_DEEP = f"more than {MOST_DEPTH} lists or objects in each other"
