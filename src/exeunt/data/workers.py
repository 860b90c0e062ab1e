"""The processes that load images: how they start, and what is said when one dies."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from exeunt.errors import ExeuntError


@contextmanager
def dead_workers_named() -> Iterator[None]:
    """Says what happened when a loading process dies; torch raises wherever its parent is then.

    A process that is killed while it hands over a batch shows as a connection that breaks off.

    Raises:
        ExeuntError: instead of torch's RuntimeError or the ConnectionError.
    """
    try:
        yield
    except (RuntimeError, ConnectionResetError, ConnectionRefusedError, EOFError) as error:
        if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
            raise
        said = "as it handed over a batch"
        if isinstance(error, RuntimeError):
            said = str(error).partition("\n")[0].rstrip(". ")
        raise ExeuntError(
            f"a process that loads images was killed ({said}). As a rule memory has run out: give "
            "fewer --workers (0 loads without such processes), a smaller --batch-size, or smaller "
            "images"
        ) from error


def start_worker(_: int) -> None:
    """Leave Ctrl-C to the parent, which stops its workers. (Torch gives each one thread.)"""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.excepthook = _excepthook


def _excepthook(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Say nothing if the parent went away while the worker was handing it a batch."""
    if not issubclass(kind, (ConnectionError, EOFError)):
        sys.__excepthook__(kind, error, trace)
