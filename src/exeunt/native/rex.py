"""What `exeunt_rex` is told, and the call; the fields are explained in `rex.h`."""

from __future__ import annotations

import ctypes
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

from exeunt.native.axis import Axis
from exeunt.native.conv import Conv
from exeunt.native.library import Native

KINDS = ("gru", "lstm", "rnn", "fastgrnn", "mingru")
"""Names of recurrent cells, by their number in C."""

_FLOATS, _LINES = ctypes.c_void_p, ctypes.c_int32
_LEAST = 1 << 17  # numbers of input for which another thread is worth its start


def _fields(kind: Any, *names: str) -> tuple[tuple[str, Any], ...]:
    return tuple((name, kind) for name in names)


class Cell(ctypes.Structure):
    """One direction of a recurrent module: addresses of float32 tensors as torch has them."""

    _fields_ = _fields(_FLOATS, "input_weights", "hidden_weights", "input_biases", "hidden_biases")


class Layer(ctypes.Structure):
    """A ReX layer for maps of one size."""

    _fields_ = (
        ("first", Cell),
        ("second", Cell * 2),
        *_fields(_FLOATS, "linear_weights", "linear_biases"),
        *_fields(Axis, "down", "across"),
        *_fields(_LINES, "kind", "channels", "hidden1", "hidden2"),
        *_fields(_LINES, "use_rows", "use_global", "use_columns"),
    )


class Maps(ctypes.Structure):
    """Where the input and the output lie; strides in numbers."""

    _fields_ = (
        ("input", _FLOATS),
        *_fields(ctypes.c_int64, "image", "channel", "row", "column"),
        ("output", _FLOATS),
        *_fields(_LINES, "images", "first", "last"),
    )


def run_rex(
    native: Native,
    layer: Layer,
    images: int,
    input_address: int,
    strides: tuple[int, ...],
    output_address: int,
    threads: int = 1,
    conv: Conv | None = None,
) -> None:
    """Computes the layer's output for a batch.

    Args:
        native: whose kernels to use.
        layer: with addresses that stay valid meanwhile.
        images: N.
        input_address: of float32 maps (N, C, H, W), any strides; with `conv`, of what it reads.
        strides: of these, in numbers.
        output_address: of a contiguous float32 array (N, out_channels, H', W').
        threads: at most so many; images, then rows of patches, are shared out among them.
        conv: the convolution whose output the layer reads, with addresses that stay valid.

    Raises:
        MemoryError: when there is none for a few rows of the input.
    """
    down, across = layer.down, layer.across
    before = None if conv is None else ctypes.byref(conv)
    numbers = layer.channels * down.length * across.length
    threads = max(1, min(threads, images * numbers // _LEAST))
    made = layer.hidden2 * (2 * layer.use_rows + 4 * layer.use_global + 2 * layer.use_columns)
    made *= (down.patches + down.repeat) * (across.patches + across.repeat)

    def run(begin: int, end: int, first: int, last: int) -> None:
        maps = Maps(
            input_address + 4 * begin * strides[0],
            *strides,
            output_address + 4 * begin * made,
            *(end - begin, first, last),
        )
        told = ctypes.byref(layer), before, ctypes.byref(maps)
        if native.library.exeunt_rex(*told, native.number):
            raise MemoryError("no memory for the rows that ReX works on")

    bands = max(1, min(threads // images, down.patches))
    pieces = [
        (*whole, *band)
        for whole in _shares(images, min(threads, images))
        for band in _shares(down.patches, bands)
    ]
    if len(pieces) == 1:
        run(*pieces[0])
        return
    with ThreadPoolExecutor(len(pieces)) as pool:
        list(pool.map(lambda piece: run(*piece), pieces))


def _shares(count: int, parts: int) -> list[tuple[int, int]]:
    """`count` things in order, shared out evenly: begins and ends."""
    edges = [count * part // parts for part in range(parts + 1)]
    return list(pairwise(edges))
