"""What `exeunt_rex` is told of a convolution before it; the fields are explained in `rex.h`."""

from __future__ import annotations

import ctypes

from exeunt.native.axis import Axis

LIMITS = {None: (-float("inf"), float("inf")), "relu": (0.0, float("inf")), "relu6": (0.0, 6.0)}
"""What activations that only bound their input keep it between, by name."""


class Conv(ctypes.Structure):
    """A convolution for maps of one size: addresses of float32 arrays, and how it is laid out."""

    _fields_ = (
        ("weights", ctypes.c_void_p),
        ("biases", ctypes.c_void_p),
        ("down", Axis),
        ("across", Axis),
        ("channels", ctypes.c_int32),
        ("outputs", ctypes.c_int32),
        ("low", ctypes.c_float),
        ("high", ctypes.c_float),
    )
