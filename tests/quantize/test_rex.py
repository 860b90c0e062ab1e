"""ReX in integers against patches one by one, and against ReX."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from exeunt.graph import Composite, Graph, Node, StageGraph
from exeunt.graph.operators import Affine, GlobalAverage, Linear
from exeunt.ops.rex import ReX2d
from exeunt.quantize import Scale, quantize
from exeunt.quantize.ranges import Range
from exeunt.quantize.rex import (
    IntegerCell,
    IntegerGRU,
    IntegerReX,
    Projection,
    hyperbolic,
    sigmoid,
)

VARIANTS: list[dict[str, Any]] = [
    {},
    {"patch_size": (3, 2), "stride": (1, 2)},
    {"patch_size": 2, "stride": 3},
    {"padding": "replicate_out"},
    {"padding": 1, "use_rows": False},
    {"use_global": False, "shared_directions": True},
    {"use_cols": False, "hidden1": 3},
    {"cell": "mingru"},
    {"cell": "mingru", "norm": True, "patch_size": (3, 2), "shared_directions": True},
    {"norm": True, "use_rows": False},
]


Floats = Callable[[Tensor], Tensor]


def quantized(**settings: Any) -> tuple[ReX2d, Floats, IntegerReX, Scale]:
    """ReX, what it and its norm do in float32, the same in integers, and the input's scale."""
    torch.manual_seed(0)
    values = {"hidden1": 4, "hidden2": 2, "patch_size": 3, "stride": 2} | settings
    normed = values.pop("norm", False)
    rex = ReX2d(5, values.pop("hidden1"), values.pop("hidden2"), **values).eval()
    shape = (5, 7, 8)
    out = tuple(rex(torch.zeros(1, *shape)).shape[1:])
    node = Node(Composite("ReX2d", rex), ("image",), "rex", "rex", "rex", "ReX2d")
    linear = nn.Linear(out[0], 2)
    scale, shift = torch.randn(out[0]), torch.randn(out[0]) / 2
    scale[0], scale[-1], shift[1] = 0, 1e-6, 0
    norm = {"scale": scale, "shift": shift}
    after = Node(Affine(), ("rex",), "norm", "norm", "norm", "", norm)
    if not normed:
        scale, shift = torch.ones(out[0]), torch.zeros(out[0])

    last_map = "norm" if normed else "rex"
    pool = Node(GlobalAverage(), (last_map,), "pool", "pool", "pool", "")
    constants = {"weight": linear.weight.detach(), "bias": linear.bias.detach()}
    last = Node(Linear(), ("pool",), "exit", "exit", "exit", "", constants)
    nodes = (node, after, pool, last) if normed else (node, pool, last)
    shapes = {"image": shape, "rex": out, last_map: out, "pool": out[:1], "exit": (2,)}
    graph = Graph("image", (StageGraph(nodes, "exit", ()),), shapes)
    ranges = {name: Range(-2.0, 2.0) for name in graph.shapes}
    found = quantize(graph, ranges)
    operator = found.operators[last_map]
    assert isinstance(operator, IntegerReX)
    assert len(found.operators) == 3  # and nothing else scales

    def floats(x: Tensor) -> Tensor:
        return rex(x) * scale.view(-1, 1, 1) + shift.view(-1, 1, 1)

    return rex, floats, operator, found.scales["image"]


def project(projection: Projection, x: np.ndarray) -> np.ndarray:
    sums = projection.weight.numpy() @ x + projection.bias.numpy()
    pairs = zip(sums, projection.factor.multipliers, projection.factor.shifts, strict=True)
    return np.array([math.floor(int(s) * m / 2 ** (29 + k) + 0.5) for s, m, k in pairs])


def sweep(cell: IntegerCell, inputs: list[np.ndarray]) -> np.ndarray:
    """One unit after the other, as the equations of its kind have it."""
    state = np.zeros(cell.units, dtype=np.int64)
    for x in inputs:
        gates = project(cell.inputs, x).reshape(-1, cell.units)
        if isinstance(cell, IntegerGRU):
            recurrent = project(cell.hidden, state).reshape(3, -1)
            state = np.array([gru(*each) for each in zip(*gates, *recurrent, state, strict=True)])
        else:
            state = np.array([mingru(*each) for each in zip(*gates, state, strict=True)])
    return state


def gru(r: int, z: int, n: int, hr: int, hz: int, hn: int, state: int) -> int:
    reset = int(sigmoid(torch.tensor(int(r + hr))))
    update = int(sigmoid(torch.tensor(int(z + hz))))
    fresh = int(hyperbolic(torch.tensor(int(n) + ((reset * int(hn) + 16384) >> 15))))
    return fresh + ((update * (int(state) - fresh) + 16384) >> 15)


def mingru(k: int, n: int, state: int) -> int:
    keep, fresh = int(sigmoid(torch.tensor(int(k)))), int(hyperbolic(torch.tensor(int(n))))
    return math.floor((keep * int(state) + (32768 - keep) * fresh) / 32768 + 0.5)


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_every_patch_is_what_its_own_sweeps_give(settings: dict[str, Any]) -> None:
    rex, _, operator, _ = quantized(**settings)
    x = torch.randint(-128, 128, (1, 5, 7, 8), generator=torch.Generator().manual_seed(1))
    found = operator.run([x])[0].numpy()
    image = np.pad(x[0].numpy(), ((0, 0), (9, 9), (9, 9)), constant_values=operator.zero_in)
    down, across = rex.windows(7, 8)
    (height, width), (sy, sx) = rex.patch_size, rex.stride
    for p, q in itertools.product(range(found.shape[1]), range(found.shape[2])):
        row, column = min(p, down.out - 1), min(q, across.out - 1)
        top, left = row * sy - down.lead + 9, column * sx - across.lead + 9
        patch = image[:, top : top + height, left : left + width]
        rows = [
            sweep(operator.first, [patch[:, i, j] for j in range(width)]) for i in range(height)
        ]
        columns = [
            sweep(operator.first, [patch[:, i, j] for i in range(height)]) for j in range(width)
        ]
        parts: list[int] = []
        rescalings = iter(operator.states)
        for used, ends in ((rex.use_rows, rows), (None, []), (rex.use_cols, columns)):
            if used is None:
                if operator.linear is not None:
                    parts += project(operator.linear, np.concatenate(rows + columns)).tolist()
            elif used:
                of = next(rescalings)
                states = [
                    sweep(cell, ends[:: -1 if way else 1])
                    for way, cell in enumerate(operator.second)
                ]
                pairs = zip(of.factor.multipliers, of.factor.shifts, strict=True)
                sums = np.concatenate(states) + of.bias.numpy()
                for s, (m, k) in zip(sums, pairs, strict=True):
                    parts.append(math.floor(Fraction(int(s) * m, 2 ** (29 + k)) + Fraction(1, 2)))
        expected = np.clip(np.array(parts) + operator.scale.zero, -128, 127)
        assert found[:, p, q].tolist() == expected.tolist()


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_it_is_rex_within_two_steps(settings: dict[str, Any]) -> None:
    _, floats, operator, scale = quantized(**settings)
    x = torch.rand(2, 5, 7, 8, generator=torch.Generator().manual_seed(1)) * 3 - 1.5
    q = scale.quantized(x)
    with torch.no_grad():
        wanted = floats(scale.real(q))
    found = operator.scale.real(operator.run([q]))
    assert (found - wanted).abs().max() < 2 * operator.scale.scale


def test_the_tables_are_near_the_functions() -> None:
    x = torch.arange(-40000, 40001, 7)
    real = (x / 4096).double()
    assert (hyperbolic(x) / 32768 - real.tanh()).abs().max() < 2e-4
    assert (sigmoid(x) / 32768 - real.sigmoid()).abs().max() < 1.5e-4
