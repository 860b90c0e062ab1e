"""What the kernels of batch norm are told, and the calls; the fields are explained in `norm.h`."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

from exeunt.native.library import Native

_LEAST = 1 << 17  # numbers for which another thread is worth waking


class Norm(ctypes.Structure):
    """A batch norm over a batch of maps: addresses of float32 arrays, and what it is."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("maps", "gradients", "out", "weights", "biases")),
        *((name, ctypes.c_void_p) for name in ("means", "variances", "slopes", "offsets")),
        *((name, ctypes.c_void_p) for name in ("weight_gradients", "bias_gradients")),
        *((name, ctypes.c_void_p) for name in ("more", "rest")),
        ("pixels", ctypes.c_int64),
        ("channels", ctypes.c_int32),
        *((name, ctypes.c_float) for name in ("epsilon", "low", "high")),
    )


def run_norm(native: Native, norm: Norm, threads: int = 1) -> None:
    """Goes one way through a batch norm: there without gradients, back with them.

    Args:
        native: whose kernels to use.
        norm: with addresses that stay valid meanwhile.
        threads: at most so many; pixels are shared out among them.

    Raises:
        MemoryError: when there is none for a few rows.
    """
    library, told = native.library, ctypes.byref(norm)
    shares = max(1, min(threads, norm.pixels * norm.channels // _LEAST))
    edges = [norm.pixels * share // shares for share in range(shares + 1)]
    parts = [(ctypes.c_int64(first), ctypes.c_int64(last)) for first, last in pairwise(edges)]
    sums = (ctypes.c_double * (2 * norm.channels) * shares)()

    def add_up(share: int) -> int:
        failed: int = library.exeunt_norm_sum(told, *parts[share], sums[share], native.number)
        return failed

    def write(share: int) -> int:
        failed: int = library.exeunt_norm_write(told, *parts[share], native.number)
        return failed

    _all(add_up, shares)
    library.exeunt_norm_close(told, sums, shares)
    _all(write, shares)


def _all(work: Callable[[int], int], shares: int) -> None:
    """Does every share of some work, the first one here."""
    others = [_threads().submit(work, share) for share in range(1, shares)]
    if any([work(0), *(other.result() for other in others)]):
        raise MemoryError("no memory for the rows that a batch norm works on")


@cache
def _threads() -> ThreadPoolExecutor:
    """They are kept: a step of training asks hundreds of times."""
    return ThreadPoolExecutor(os.cpu_count(), "exeunt-norm")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.cache_clear)  # which has none of them
