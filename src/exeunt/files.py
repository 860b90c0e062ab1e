"""Writing files so that a reader never meets half of one."""

from __future__ import annotations

import csv
import hashlib
import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from exeunt.errors import WriteError

HERE = hashlib.blake2b(platform.node().encode(), digest_size=4).hexdigest()
"""This machine, in the names of temporary files."""
_PART = re.compile(r"\.(?P<name>.+)\.(?P<pid>[0-9]+)(?:\.(?P<host>[0-9a-f]{8}))?\.part")

SYNC_MODE = "rb" if os.name == "posix" else "r+b"
"""Windows flushes only files that are open to be written; elsewhere a file need not allow that."""

AS_NAMED = "surrogateescape"
"""How text with names of files is encoded: bytes that the locale does not know stay as they are."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Gives a temporary name beside `path`; what stands there at the end takes `path`'s place.

    Folders that are missing are made. Where `path` is a link, the file that it means is replaced.
    When the block raises, `path` is as it was and the temporary file is gone; what a process that
    was killed left behind is removed by the next one that writes `path`.

    Raises:
        WriteError: when the file cannot be written; `path` is untouched.
    """
    path = Path(path)
    with writing(path):
        place = Path(os.path.realpath(path))
        if place.exists() and not place.is_file():  # devices too: root may replace them
            raise WriteError(f"{path}: cannot be written (it is a {_kind(place)})")
        place.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(place.parent, place.name)
        temporary = place.with_name(f".{place.name}.{os.getpid()}.{HERE}.part")
        try:
            temporary.touch()
            mode = temporary.stat().st_mode  # what the user's umask allows; some writers allow less
            yield temporary
            flush(temporary)
            temporary.chmod(mode)
            temporary.replace(place)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise


def flush(path: Path) -> None:
    """Waits until the disk has a file that was written and closed."""
    with path.open(SYNC_MODE) as file:
        os.fsync(file.fileno())


def write_csv(
    path: str | Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]
) -> None:
    """Writes a table, whole or not at all; what a row has not is left empty.

    Raises:
        WriteError: when it cannot be written; `path` is untouched.
    """
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors=AS_NAMED) as file,
    ):
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Says of what the system refuses in the block that `path` cannot be written.

    Raises:
        WriteError: in place of an `OSError`. One that names a file which has nothing to do with
            `path` passes as it is.
    """
    path = Path(path)
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        if isinstance(error.filename, str | os.PathLike):
            named, place = Path(error.filename), Path(os.path.realpath(path))
            if named in (*path.parents, *place.parents):
                reason = f"{named}: {reason}"
            elif not any(_belongs(one, path, place) for one in (named, *named.parents)):
                raise
        raise WriteError(f"{path}: cannot be written ({reason})") from error


def _belongs(named: Path, *paths: Path) -> bool:
    """Whether this is one of the paths, or something temporary beside it."""
    return any(
        named == path or (named.parent == path.parent and named.name.startswith(f".{path.name}."))
        for path in paths
    )


def _kind(path: Path) -> str:
    return "folder" if path.is_dir() else "device or pipe"


def remove_leftovers(folder: Path, name: str | None = None, *, whoever: bool = False) -> None:
    """Removes temporary files of `replacing` whose processes are gone.

    Args:
        folder: that they lie in.
        name: of the file that they were to become; None for any.
        whoever: those of other machines and of running processes too; for who holds a lock under
            which nobody else writes.
    """
    for file in folder.iterdir():
        if (found := leftover(file)) and name in (None, found["name"]):
            theirs = found["host"] not in (None, HERE) or alive(int(found["pid"]))
            if whoever or not theirs:
                with suppress(OSError):
                    file.unlink()


def leftover(file: Path) -> re.Match[str] | None:
    """Whether a name is a temporary one of `replacing`, perhaps of a process that is gone."""
    return _PART.fullmatch(file.name)


def alive(pid: int) -> bool:
    """Whether this machine has such a process; True where that cannot be told."""
    if os.name != "posix":  # elsewhere the question itself may end it
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # somebody else's
        return True
    return True
