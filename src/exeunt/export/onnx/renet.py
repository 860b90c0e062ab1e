"""ReNet with the recurrent operators of ONNX, which suit whole rows and columns."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from exeunt.export.onnx.builder import Builder
from exeunt.graph.operators import Shape
from exeunt.ops.renet import ReNet2d

_ORDER = {"GRU": (1, 0, 2), "LSTM": (0, 3, 1, 2)}  # of torch's gates in ONNX: zrn, iofc


def write_renet(build: Builder, layer: ReNet2d, x: str, shape: Shape, to: str, out: Shape) -> None:
    """Adds a ReNet layer; `shape` and `out` are (C, H, W) of what it reads and makes."""
    height, width = layer.patch_size
    _, rows, columns = out
    down, across = rows * height - shape[1], columns * width - shape[2]
    pads = [down // 2, across // 2, down - down // 2, across - across // 2]
    x = build.add("Pad", x, build.integers(pads), "", build.integers([2, 3]))
    grid = _reshaped(build, x, [-1, shape[0], rows, height, columns, width])  # N C I h J w
    patches = build.add("Transpose", grid, perm=[2, 0, 4, 1, 3, 5])  # I N J C h w
    patches = _reshaped(build, patches, [rows, -1, shape[0] * height * width])
    vertical = write_states(build, layer.columns, patches)
    turned = _reshaped(build, vertical, [rows, -1, columns, layer.out_channels])  # I N J 2d
    turned = build.add("Transpose", turned, perm=[2, 1, 0, 3])
    states = _reshaped(build, turned, [columns, -1, layer.out_channels])
    horizontal = write_states(build, layer.rows, states)
    made = _reshaped(build, horizontal, [columns, -1, rows, layer.out_channels])  # J N I 2d
    build.add("Transpose", made, perm=[1, 3, 2, 0], to=to)


def write_states(build: Builder, rnn: nn.GRU | nn.LSTM, x: str) -> str:
    """Adds a two-way RNN over (T, M, features), from zeros; gives all states, (T, M, 2*hidden)."""
    kind, size = type(rnn).__name__, rnn.hidden_size

    def sorted_gates(name: str) -> Tensor:
        both = torch.stack([getattr(rnn, f"{name}_l0{way}") for way in ("", "_reverse")])
        return torch.cat([torch.split(both, size, 1)[gate] for gate in _ORDER[kind]], 1)

    biases = torch.cat([sorted_gates("bias_ih"), sorted_gates("bias_hh")], 1)
    weights = (sorted_gates("weight_ih"), sorted_gates("weight_hh"), biases)
    more: dict[str, Any] = {"linear_before_reset": 1} if kind == "GRU" else {}
    states = build.add(
        *(kind, x, *map(build.floats, weights)), direction="bidirectional", hidden_size=size, **more
    )  # T 2 M hidden
    states = build.add("Transpose", states, perm=[0, 2, 1, 3])
    return _reshaped(build, states, [0, 0, 2 * size])


def _reshaped(build: Builder, x: str, shape: list[int]) -> str:
    return build.add("Reshape", x, build.integers(shape))
