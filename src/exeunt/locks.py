"""One process at a time."""

from __future__ import annotations

import errno
import json
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from exeunt.errors import ExeuntError
from exeunt.files import alive, writing

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

PAUSE_S = 0.05
_BUSY = (errno.EACCES, errno.EAGAIN)

_held: dict[Path, dict[str, Any]] = {}
_gate = threading.Lock()


@contextmanager
def locked(file: Path, subject: str | Path, patience_s: float = 0.0) -> Iterator[None]:
    """Holds a lock during the block: no other process, and no other thread, gets the same one.

    The system keeps it (`fcntl.lockf`) and gives it back when the process ends, however it does;
    processes that it forks do not hold it. Where the system or the disk keeps no locks, what the
    file says has to do: who made it, which is asked for if it is of this machine.

    Args:
        file: the lock; made with its folder if need be, says who holds it, and goes at the end.
        subject: what is locked, as the user calls it.
        patience_s: how long to wait for another.

    Raises:
        ExeuntError: when another has it, naming that process.
        WriteError: when the lock cannot be made.
    """
    file = Path(os.path.realpath(file))
    deadline = time.monotonic() + patience_s
    while (descriptor := _take(file, subject)) is None:
        if time.monotonic() >= deadline:
            raise ExeuntError(f"{subject} is in use{_by_whom(file)}")
        time.sleep(PAUSE_S)
    try:
        yield
    finally:
        with _gate:
            del _held[file]
            if fcntl is None:  # such systems keep files that are open
                os.close(descriptor)
            with suppress(OSError):
                file.unlink()
            if fcntl is not None:
                os.close(descriptor)


def _take(file: Path, subject: str | Path) -> int | None:
    """The open lock, or None if another has it."""
    me = {
        "pid": os.getpid(),
        "host": platform.node(),
        "since": datetime.now().astimezone().isoformat(" ", "seconds"),
    }
    with _gate, writing(subject):
        while file not in _held:  # a file that this process has locked must not be opened again
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
            except FileNotFoundError:  # its folder has just gone
                continue
            try:
                if not _claim(descriptor):
                    os.close(descriptor)
                    return None
                if _is(descriptor, file):
                    os.ftruncate(descriptor, 0)
                    os.lseek(descriptor, 0, os.SEEK_SET)
                    os.write(descriptor, json.dumps(me).encode())
                    _held[file] = me
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # the one who had it has just gone, with the file
    return None


def _claim(descriptor: int) -> bool:
    if fcntl is not None:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError as error:
            if error.errno in _BUSY:
                return False
    said = _read(descriptor)
    return not said or (said.get("host") == platform.node() and not alive(said["pid"]))


def _is(descriptor: int, file: Path) -> bool:
    """Whether the open file is the one that has the name."""
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False


def _read(descriptor: int) -> dict[str, Any]:
    """What the holder wrote; empty if that is nothing."""
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        said = json.loads(os.read(descriptor, 4096))
        return {"pid": int(said["pid"]), "host": str(said["host"]), "since": str(said["since"])}
    except (ValueError, KeyError, TypeError):
        return {}


def _by_whom(file: Path) -> str:
    with _gate:
        said = _held.get(file)
        if said is None:
            try:
                descriptor = os.open(file, os.O_RDONLY)
            except OSError:
                return ""
            try:
                said = _read(descriptor)
            finally:
                os.close(descriptor)
    if not said:
        return f" (its lock is {file})"
    here = platform.node()
    gone = "" if said["host"] == here else f"; if that is gone, remove {file}"
    return f" by process {said['pid']} on {said['host']}, since {said['since']}{gone}"
