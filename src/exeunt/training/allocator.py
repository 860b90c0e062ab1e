"""Keeping freed memory, because asking for it again is slow."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # <malloc.h>
_HUGE_PAGE = 14  # MADV_HUGEPAGE of <sys/mman.h>
_HUGE_BYTES = 2 * 2**20
_HEAP_BYTES = 2**30  # that is told to lie on large pages; what no step needs is never touched


def keep_freed_memory() -> bool:
    """Tells the C library to keep large freed blocks instead of handing them back.

    A training step on the CPU frees and asks for the same large buffers over and over; by default
    glibc returns them to the system, which must clear every page again. They also come to lie on
    large pages, where Linux has them for programs that ask, so that the processor looks up fewer
    addresses. For the whole process, and only where glibc is the C library. Memory in use peaks
    hardly higher; it is given back at exit.

    Returns:
        Whether it took effect.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        library = ctypes.CDLL(None)
        mallopt = library.mallopt
    except (OSError, AttributeError):  # another C library
        return False
    wanted = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 256 * 2**20))
    taken = [mallopt(option, value) == 1 for option, value in wanted]
    if all(taken):
        _ask_for_large_pages(library)
    return all(taken)


def _ask_for_large_pages(library: ctypes.CDLL) -> None:
    """Lets the heap grow, once, and says of what it has grown by that it should lie on them."""
    library.malloc.argtypes, library.malloc.restype = (ctypes.c_size_t,), ctypes.c_void_p
    library.free.argtypes, library.free.restype = (ctypes.c_void_p,), None
    library.madvise.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    place = library.malloc(_HEAP_BYTES)
    if place is None:  # no room for so much
        return
    first = -(-place // _HUGE_BYTES) * _HUGE_BYTES
    library.madvise(first, place + _HEAP_BYTES - first, _HUGE_PAGE)  # fails where there are none
    library.free(place)
