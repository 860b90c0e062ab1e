"""Work on this machine: in this process, or in several."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for
from typing import Any

from exeunt.errors import ExeuntError
from exeunt.score.engine import Work

_AHEAD = 2  # blocks that are handed out for each process
_DEATHS = 3  # in a row, without a block between them

_work: Work | None = None


def run_local(
    work: Work, blocks: Sequence[Any], workers: int | None, address: str | None = None
) -> Iterator[tuple[int, Any]]:
    """As `Engine` has it: in this process for 0 or 1 workers, else in so many others.

    Where one of those dies, its blocks are done again by new ones.

    Raises:
        ExeuntError: as `work`; or processes die one after the other.
    """
    count = min((os.cpu_count() or 1) if workers is None else workers, len(blocks))
    if count <= 1:
        yield from ((number, work(block)) for number, block in enumerate(blocks))
        return
    left, deaths = dict(enumerate(blocks)), 0
    while left:
        try:
            for number, found in _pool(work, left, count):
                del left[number]
                deaths = 0
                yield number, found
        except BrokenProcessPool as error:
            deaths += 1
            if deaths >= _DEATHS:
                raise ExeuntError(
                    f"a process that works on images was killed {deaths} times in a row. As a rule "
                    "memory has run out: give fewer --workers or a smaller --batch-size"
                ) from error


def _pool(work: Work, blocks: dict[int, Any], count: int) -> Iterator[tuple[int, Any]]:
    """What new processes make of the blocks; some are handed out ahead, not all."""
    waiting = iter(list(blocks.items()))
    running: dict[Future[Any], int] = {}
    context = multiprocessing.get_context("spawn")  # threads of torch do not survive a fork
    pool = ProcessPoolExecutor(count, context, _start, (work,))
    try:
        while True:
            for number, block in waiting:
                running[pool.submit(_do, block)] = number
                if len(running) >= _AHEAD * count:
                    break
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=lambda one: one.exception() is not None):
                yield running.pop(future), future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _start(work: Work) -> None:
    global _work
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends them
    _work = work
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    """Ends this process when its parent was killed, which nothing else tells it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)


def _do(block: Any) -> Any:
    assert _work is not None
    return _work(block)
