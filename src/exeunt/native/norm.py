"""What the kernels of batch norm are told, and the calls; the fields are explained in `norm.h`."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

from exeunt.native.library import Native

_LEAST = 1 << 15  # numbers that are worth a share of their own
_NAMES = (
    *("maps", "gradients", "out", "weights", "biases", "means", "variances", "slopes", "offsets"),
    *("weight_gradients", "bias_gradients", "more", "rest", "sums"),
)


class Norm(ctypes.Structure):
    """A batch norm over a batch of maps: addresses of float32 arrays, and what it is."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in _NAMES),
        *((name, ctypes.c_int64) for name in ("pixels", "apart")),
        *((name, ctypes.c_int32) for name in ("channels", "shares", "simd", "next", "failed")),
        *((name, ctypes.c_float) for name in ("epsilon", "low", "high")),
    )


def run_norm(native: Native, norm: Norm, threads: int = 1) -> None:
    """Goes one way through a batch norm: there without gradients, back with them.

    Args:
        native: whose kernels to use.
        norm: with addresses that stay valid meanwhile.
        threads: at most so many, of those that torch has; pixels are shared out among them.

    Raises:
        MemoryError: when there is none for a few rows.
    """
    library, job = native.library, ctypes.byref(norm)
    norm.shares = max(1, min(threads, norm.pixels * norm.channels // _LEAST))
    norm.simd = native.number
    sums = (ctypes.c_double * (2 * norm.channels * norm.shares))()
    norm.sums = ctypes.addressof(sums)

    def share_out(work: Any) -> None:
        if norm.shares > 1:
            parallel()(ctypes.cast(work, ctypes.c_void_p), job, norm.shares, 0)
        else:
            work(job)

    share_out(library.exeunt_norm_sum)
    library.exeunt_norm_close(job)
    share_out(library.exeunt_norm_write)
    if norm.failed:
        raise MemoryError("no memory for the rows that a batch norm works on")


@cache
def parallel() -> Any:
    """OpenMP's call that has several threads do a piece of work, or None where there is none.

    It is that of the library that torch has loaded, whose threads wait for work already. Threads
    of our own would find the processors taken by them.
    """
    try:
        return ctypes.CDLL(None).GOMP_parallel
    except (AttributeError, OSError, TypeError):  # another OpenMP; Windows, which has no such names
        return None
