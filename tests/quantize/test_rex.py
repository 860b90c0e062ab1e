"""ReX in integers against patches one by one, and against ReX."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from exeunt.graph import Graph, Node, StageGraph, Whole
from exeunt.graph.operators import GlobalAverage, Linear
from exeunt.ops.rex import ReX2d
from exeunt.quantize import Scale, quantize
from exeunt.quantize.ranges import Range
from exeunt.quantize.rex import IntegerCell, IntegerReX, Projection, hyperbolic, sigmoid

VARIANTS: list[dict[str, Any]] = [
    {},
    {"patch_size": (3, 2), "stride": (1, 2)},
    {"patch_size": 2, "stride": 3},
    {"padding": "replicate_out"},
    {"padding": 1, "use_rows": False},
    {"use_global": False, "shared_directions": True},
    {"use_cols": False, "hidden1": 3},
]


def quantized(**settings: Any) -> tuple[ReX2d, IntegerReX, Scale]:
    torch.manual_seed(0)
    values = {"hidden1": 4, "hidden2": 2, "patch_size": 3, "stride": 2} | settings
    rex = ReX2d(5, values.pop("hidden1"), values.pop("hidden2"), **values).eval()
    shape = (5, 7, 8)
    out = tuple(rex(torch.zeros(1, *shape)).shape[1:])
    node = Node(Whole("ReX2d", rex), ("image",), "rex", "rex", "rex", "ReX2d")
    linear = nn.Linear(out[0], 2)

    pool = Node(GlobalAverage(), ("rex",), "pool", "pool", "pool", "")
    constants = {"weight": linear.weight.detach(), "bias": linear.bias.detach()}
    last = Node(Linear(), ("pool",), "exit", "exit", "exit", "", constants)
    stage = StageGraph((node, pool, last), "exit", ())
    graph = Graph("image", (stage,), {"image": shape, "rex": out, "pool": out[:1], "exit": (2,)})
    ranges = {name: Range(-2.0, 2.0) for name in graph.shapes}
    found = quantize(graph, ranges)
    operator = found.operators["rex"]
    assert isinstance(operator, IntegerReX)
    return rex, operator, found.scales["image"]


def project(projection: Projection, x: np.ndarray) -> np.ndarray:
    sums = projection.weight.numpy() @ x + projection.bias.numpy()
    pairs = zip(sums, projection.factor.multipliers, projection.factor.shifts, strict=True)
    return np.array([math.floor(int(s) * m / 2 ** (29 + k) + 0.5) for s, m, k in pairs])


def sweep(cell: IntegerCell, inputs: list[np.ndarray]) -> np.ndarray:
    """One unit after the other, as the equations of a GRU have it."""
    state = np.zeros(cell.units, dtype=np.int64)
    for x in inputs:
        gates, recurrent = project(cell.inputs, x), project(cell.hidden, state)
        new = []
        for u in range(cell.units):
            r, z, n = (int(gates[u + k * cell.units]) for k in range(3))
            hr, hz, hn = (int(recurrent[u + k * cell.units]) for k in range(3))
            reset = int(sigmoid(torch.tensor(r + hr)))
            update = int(sigmoid(torch.tensor(z + hz)))
            fresh = int(hyperbolic(torch.tensor(n + ((reset * hn + 16384) >> 15))))
            new.append(fresh + ((update * (int(state[u]) - fresh) + 16384) >> 15))
        state = np.array(new)
    return state


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_every_patch_is_what_its_own_sweeps_give(settings: dict[str, Any]) -> None:
    rex, operator, _ = quantized(**settings)
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
        for used, ends in ((rex.use_rows, rows), (None, []), (rex.use_cols, columns)):
            if used is None:
                if operator.linear is not None:
                    parts += project(operator.linear, np.concatenate(rows + columns)).tolist()
            elif used:
                for way, cell in enumerate(operator.second):
                    state = sweep(cell, ends[:: -1 if way else 1])
                    (m,), (k,) = operator.state_factor.multipliers, operator.state_factor.shifts
                    parts += [math.floor(int(s) * m / 2 ** (29 + k) + 0.5) for s in state]
        expected = np.clip(np.array(parts) + operator.scale.zero, -128, 127)
        assert found[:, p, q].tolist() == expected.tolist()


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_it_is_rex_within_two_steps(settings: dict[str, Any]) -> None:
    rex, operator, scale = quantized(**settings)
    x = torch.rand(2, 5, 7, 8, generator=torch.Generator().manual_seed(1)) * 3 - 1.5
    q = scale.quantized(x)
    with torch.no_grad():
        wanted = rex(scale.real(q))
    found = operator.scale.real(operator.run([q]))
    assert (found - wanted).abs().max() < 2 * operator.scale.scale


def test_the_tables_are_near_the_functions() -> None:
    x = torch.arange(-40000, 40001, 7)
    real = (x / 4096).double()
    assert (hyperbolic(x) / 32768 - real.tanh()).abs().max() < 2e-4
    assert (sigmoid(x) / 32768 - real.sigmoid()).abs().max() < 1.5e-4
