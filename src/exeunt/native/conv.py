"""What `exeunt_conv` is told, and the call; the fields are explained in `conv.h`."""

from __future__ import annotations

import ctypes

from exeunt.native.library import Native
from exeunt.native.rex import Axis

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


def run_conv(
    native: Native, layer: Conv, images: int, input_address: int, output_address: int
) -> None:
    """Computes the convolution of a batch.

    Args:
        native: whose kernels to use.
        layer: with addresses that stay valid meanwhile.
        images: N.
        input_address: of contiguous float32 maps (N, C, H, W).
        output_address: of a contiguous float32 array (N, C', H', W').

    Raises:
        MemoryError: when there is none for a few rows.
    """
    addresses = ctypes.c_void_p(input_address), ctypes.c_void_p(output_address)
    if native.library.exeunt_conv(ctypes.byref(layer), *addresses, images, native.number):
        raise MemoryError("no memory for the rows that a convolution works on")
