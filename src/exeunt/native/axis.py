"""One axis of windows on a map, as C is told of it; the fields are explained in `rex.h`."""

from __future__ import annotations

import ctypes


class Axis(ctypes.Structure):
    """One axis of the sliding patch, or of a convolution's window."""

    _fields_ = (
        ("length", ctypes.c_int32),
        ("before", ctypes.c_int32),
        ("size", ctypes.c_int32),
        ("stride", ctypes.c_int32),
        ("patches", ctypes.c_int32),
        ("repeat", ctypes.c_int32),
    )
