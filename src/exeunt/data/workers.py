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

    Raises:
        ExeuntError: instead of torch's RuntimeError.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        said = str(error).partition("\n")[0]
        raise ExeuntError(
            f"a process that loads images died ({said}); out of memory is the usual cause, which "
            "fewer workers or smaller images mend"
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
