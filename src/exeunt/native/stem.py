"""What some networks begin with, a convolution and ReX, without torch or onnxruntime."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

from exeunt.native.axis import Axis
from exeunt.native.conv import LIMITS, Conv
from exeunt.native.library import Native
from exeunt.native.rex import KINDS, Cell, Layer, run_rex

Floats = NDArray[np.float32]

CELL = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
"""Arrays of one direction of a cell; in place of the last a FastGRNN has the sigmoid of its mix. Of
a minGRU the second and the last are empty."""


class Stem:
    """The first two operators of a network, for images of one size.

    Attributes:
        output_shape: (C', H', W') of what it gives.

    Args:
        native: whose kernels to use.
        says: what the manifest of an exported folder says of them.
        weights: safetensors: `conv.weight`, `conv.bias`, `rnn1.*`, `forward.*`, `backward.*` (each
            with the arrays of `CELL`), `linear.weight`, `linear.bias`.
        threads: at most so many; 0 for as many as there are cores.

    Raises:
        ValueError: when weights and sizes do not fit each other.
        KeyError, TypeError: when something is missing.
    """

    def __init__(
        self, native: Native, says: Mapping[str, Any], weights: bytes, threads: int = 0
    ) -> None:
        self._native = native
        self._threads = threads or os.cpu_count() or 1
        self._arrays = {
            name: np.ascontiguousarray(array, np.float32) for name, array in load(weights).items()
        }
        self._conv = self._convolution(says["conv"])
        self._rex = self._layer(says["rex"], self._conv)
        branches = 2 * self._rex.use_rows + 4 * self._rex.use_global + 2 * self._rex.use_columns
        sizes = (axis.patches + axis.repeat for axis in (self._rex.down, self._rex.across))
        self.output_shape = (branches * self._rex.hidden2, *sizes)

    def run(self, images: Floats) -> Floats:
        """What becomes of images (N, C, H, W): (N, *output_shape)."""
        conv = self._conv
        images = np.ascontiguousarray(images, np.float32)
        count, size = len(images), (conv.channels, conv.down.length, conv.across.length)
        if images.shape[1:] != size:
            raise ValueError(f"images must be N x {size}, not {images.shape}")
        out = np.empty((count, *self.output_shape), np.float32)
        strides = tuple(stride // images.itemsize for stride in images.strides)
        given = images.ctypes.data, strides, out.ctypes.data
        run_rex(self._native, self._rex, count, *given, self._threads, conv)
        return out

    def _convolution(self, says: Mapping[str, Any]) -> Conv:
        down, across = Axis(*says["down"]), Axis(*says["across"])
        outputs, channels = says["outputs"], says["channels"]
        weights = self._array("conv.weight", outputs, channels, down.size, across.size)
        biases = self._array("conv.bias", outputs)
        for axis in (down, across):
            _require(axis.repeat == 0, "a convolution repeats nothing")
            _require_fit(axis)
        return Conv(weights, biases, down, across, channels, outputs, *LIMITS[says["act"]])

    def _layer(self, says: Mapping[str, Any], conv: Conv) -> Layer:
        down, across = Axis(*says["down"]), Axis(*says["across"])
        hidden1, hidden2, branches = says["hidden1"], says["hidden2"], says["branches"]
        rows, middle, columns = (bool(branch) for branch in branches)
        for axis, before in ((down, conv.down), (across, conv.across)):
            _require(axis.length == before.patches, "ReX takes maps of another size")
            _require_fit(axis)
        kind = says["cell"]
        layer = Layer(self._cell("rnn1", kind, conv.outputs, hidden1))
        if rows or columns:
            ways = (self._cell(way, kind, hidden1, hidden2) for way in ("forward", "backward"))
            layer.second = (Cell * 2)(*ways)
        if middle:
            summaries = (down.size + across.size) * hidden1
            layer.linear_weights = self._array("linear.weight", 4 * hidden2, summaries)
            layer.linear_biases = self._array("linear.bias", 4 * hidden2)
        layer.down, layer.across, layer.kind = down, across, KINDS.index(kind)
        layer.channels, layer.hidden1, layer.hidden2 = conv.outputs, hidden1, hidden2
        layer.use_rows, layer.use_global, layer.use_columns = rows, middle, columns
        return layer

    def _cell(self, name: str, kind: str, inputs: int, hidden: int) -> Cell:
        gates = hidden * {"gru": 3, "lstm": 4, "mingru": 2}.get(kind, 1)
        recurrent = 0 if kind == "mingru" else gates
        biases = (2 * hidden, 2) if kind == "fastgrnn" else (gates, recurrent)
        shapes = (gates, inputs), (recurrent, hidden), biases[:1], biases[1:]
        parts = zip(CELL, shapes, strict=True)
        return Cell(*(self._array(f"{name}.{part}", *shape) for part, shape in parts))

    def _array(self, name: str, *shape: int) -> int:
        """The address of an array, which must have this shape."""
        found = self._arrays[name].shape
        _require(found == shape, f"{name} has shape {found}, not {shape}")
        return int(self._arrays[name].ctypes.data)


def _require(true: bool, what: str) -> None:
    if not true:
        raise ValueError(what)


def _require_fit(axis: Axis) -> None:
    """C trusts these numbers."""
    least = min(axis.length, axis.size, axis.stride, axis.patches, 1 + axis.before, 1 + axis.repeat)
    most = max(axis.length, axis.size, axis.stride, axis.patches, axis.before, axis.repeat)
    _require(
        least >= 1 and most < 1 << 15, f"no axis: {[getattr(axis, f[0]) for f in axis._fields_]}"
    )
