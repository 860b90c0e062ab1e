"""Keeping freed memory, because asking for it again is slow."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # <malloc.h>


def keep_freed_memory() -> bool:
    """Tells the C library to keep large freed blocks instead of handing them back.

    A training step on the CPU frees and asks for the same large buffers over and over; by default
    glibc returns them to the system, which must clear every page again. For the whole process, and
    only where glibc is the C library. Memory in use peaks no higher; it is given back at exit.

    Returns:
        Whether it took effect.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    wanted = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 256 * 2**20))
    taken = [mallopt(option, value) == 1 for option, value in wanted]
    return all(taken)
