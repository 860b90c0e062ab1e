"""ReX and ReNet in integers against patches one by one, and against themselves in float32."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from copy import deepcopy
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from exeunt.graph import Composite, Graph, Node, StageGraph
from exeunt.graph.operators import Affine, GlobalAverage, Linear
from exeunt.ops.recurrence import CellWeights, FastGRNN, fastgrnn_step
from exeunt.ops.renet import ReNet2d
from exeunt.ops.rex import ReX2d
from exeunt.quantize import Scale, quantize
from exeunt.quantize.ranges import Range
from exeunt.quantize.renet import IntegerReNet
from exeunt.quantize.rex import (
    IntegerCell,
    IntegerFastGRNN,
    IntegerGRU,
    IntegerLSTM,
    IntegerReX,
    IntegerRNN,
    Projection,
    hyperbolic,
    sigmoid,
    state_bits,
)
from exeunt.quantize.scale import Factor

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
    {"cell": "fastgrnn"},
    {"cell": "fastgrnn", "norm": True, "patch_size": (3, 2), "shared_directions": True},
    {"cell": "rnn", "padding": 1},
    {"cell": "lstm"},
    {"cell": "lstm", "norm": True, "patch_size": (3, 2), "shared_directions": True},
]


Floats = Callable[[Tensor], Tensor]


def quantized(**settings: Any) -> tuple[ReX2d, Floats, IntegerReX, Scale]:
    """ReX, what it and its norm do in float32, the same in integers, and the input's scale."""
    torch.manual_seed(0)
    values = {"hidden1": 4, "hidden2": 2, "patch_size": 3, "stride": 2} | settings
    normed = values.pop("norm", False)
    rex = ReX2d(5, values.pop("hidden1"), values.pop("hidden2"), **values).eval()
    for name, parameter in rex.named_parameters():
        if "mix" in name:  # whose states reach 0.73 + 3 * 0.38
            parameter.data = torch.tensor([1.0, -0.5])
        elif rex.cell == "fastgrnn" and "rnn" in name:
            parameter.data *= 3
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
    """The last state."""
    return states_of(cell, [project(cell.inputs, x) for x in inputs])[-1]


def states_of(cell: IntegerCell, taken: list[np.ndarray]) -> list[np.ndarray]:
    """One unit after the other, as the equations of its kind have it."""
    state, found = np.zeros(cell.units, dtype=np.int64), []
    memory = state
    for mine in taken:
        gates = mine.reshape(-1, cell.units)
        if isinstance(cell, IntegerFastGRNN):
            (shared,) = gates + project(cell.hidden, state)
            mix = (cell.zeta, cell.nu)
            biases = cell.biases.tolist()
            state = np.array([fastgrnn(*e, *mix) for e in zip(shared, *biases, state, strict=True)])
        elif isinstance(cell, IntegerGRU):
            recurrent = project(cell.hidden, state).reshape(3, -1)
            state = np.array([gru(*each) for each in zip(*gates, *recurrent, state, strict=True)])
        elif isinstance(cell, IntegerLSTM):
            each = zip(*gates + project(cell.hidden, state).reshape(4, -1), memory, strict=True)
            state, memory = np.array([lstm(*of) for of in each]).T
        elif isinstance(cell, IntegerRNN):
            state = hyperbolic(torch.tensor(mine + project(cell.hidden, state))).numpy()
        else:
            state = np.array([mingru(*each) for each in zip(*gates, state, strict=True)])
        found.append(state)
    return found


def gru(r: int, z: int, n: int, hr: int, hz: int, hn: int, state: int) -> int:
    reset = int(sigmoid(torch.tensor(int(r + hr))))
    update = int(sigmoid(torch.tensor(int(z + hz))))
    fresh = int(hyperbolic(torch.tensor(int(n) + ((reset * int(hn) + 16384) >> 15))))
    return fresh + ((update * (int(state) - fresh) + 16384) >> 15)


def lstm(i: int, f: int, g: int, o: int, memory: int) -> tuple[int, int]:
    take, keep, show = (int(sigmoid(torch.tensor(int(gate)))) for gate in (i, f, o))
    added = math.floor(take * int(hyperbolic(torch.tensor(int(g)))) / 8)
    memory = math.floor((keep * int(memory) + added) / 32768 + 0.5)
    memory = max(-32768, min(32767, memory))
    return math.floor(show * int(hyperbolic(torch.tensor(memory))) / 32768 + 0.5), memory


def fastgrnn(a: int, z: int, n: int, state: int, zeta: int, nu: int) -> int:
    keep, fresh = int(sigmoid(torch.tensor(int(a + z)))), int(hyperbolic(torch.tensor(int(a + n))))
    share = math.floor(zeta * (32768 - keep) / 32768 + 0.5) + nu
    mixed = (keep * int(state) + share * fresh + 16384) >> 15
    return max(-32767, min(32767, mixed))


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
        ends = operator.scale.real(torch.tensor(operator.scale.limits)).tolist()
        wanted = floats(scale.real(q)).clamp(*ends)
    found = operator.scale.real(operator.run([q]))
    assert (found - wanted).abs().max() < 2 * operator.scale.scale


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_gates_and_states_round_less_than_weights_do(cell: str) -> None:
    """Over 32 steps: the cell against that of torch with its own weights, and that against torch's
    with the weights that were given.
    """
    rex, _, operator, scale = quantized(cell=cell)
    first: Any = operator.first
    near, given = (deepcopy(rex.rnn1).double() for _ in range(2))
    for name, read, step in (("ih", first.inputs, scale.scale), ("hh", first.hidden, 2.0**-15)):
        factor = read.factor.real / 4096
        zero = operator.zero_in * read.weight.sum(1) if name == "ih" else 0
        getattr(near, f"weight_{name}_l0").data = read.weight * factor[:, None] / step
        getattr(near, f"bias_{name}_l0").data = (read.bias + zero) * factor
    q = torch.randint(-128, 128, (32, 5, 500), generator=torch.Generator().manual_seed(1))
    x = scale.real(q).double().transpose(1, 2)
    found = first.run([first.take(one) for one in q]).T / 2**15
    with torch.no_grad():
        same, exact = near(x)[0][-1], given(x)[0][-1]
    rounding, weights = (found - same).square().mean().sqrt(), (same - exact).square().mean().sqrt()
    assert (found - same).abs().max() < 1e-3
    assert 2.5 * rounding < weights < 5e-3


def test_a_memory_counts_to_8() -> None:
    """Gates that are open let 32767 / 32768 of each 1 pass."""
    nothing = Projection(torch.zeros(4, 1).long(), torch.zeros(4).long(), Factor.of([0.0] * 4, ""))
    cell = IntegerLSTM(nothing, nothing)
    state, memories = torch.zeros(2, 1, dtype=torch.int32), []
    for sign in [1] * 9 + [-1] * 18:
        taken = torch.tensor([12, 12, 12 * sign, 12], dtype=torch.int32)[:, None] * 4096
        state = cell.step(taken, state)
        memories.append(int(state[1]))
    real = np.array(memories) / 4096
    assert np.abs(real - [*range(1, 9), 8, *range(7, -9, -1), -8, -8]).max() < 0.01
    assert (max(memories), min(memories)) == (32767, -32768)
    assert -32766 <= int(state[0]) < -32760  # tanh(8), shown


@torch.no_grad()
def test_how_far_the_states_of_a_cell_may_reach() -> None:
    cell = FastGRNN(2, 3)
    assert state_bits(nn.GRU(2, 3), 100) == 0
    assert state_bits(cell, 100) == 0  # zeta is 1, nu 0
    cell.mix_l0.data = torch.tensor([0.0, 0.0])  # 0.5 + 5 * 0.5
    assert state_bits(cell, 5) == 2
    for name in ("weight_ih_l0", "weight_hh_l0"):
        getattr(cell, name).data.zero_()
    worst = 0.0
    for update in torch.linspace(-9, 9, 50):
        cell.bias_ih_l0.data = torch.cat([update.expand(3), torch.full((3,), 9.0)])
        weights, state = CellWeights.of(cell, 1), torch.zeros(1, 3, 1)
        for _ in range(5):
            (state,) = fastgrnn_step(state * 0, (state,), weights.weight_hh, weights.bias)
        worst = max(worst, float(state.abs().max()))
    assert 1 < worst < 3


def made_renet(patch: int | tuple[int, int]) -> tuple[ReNet2d, IntegerReNet, Scale]:
    """ReNet of 3 channels and 2 units, in float32 and in integers, and the input's scale."""
    torch.manual_seed(0)
    renet = ReNet2d(3, 2, patch).eval()
    shape = (3, 7, 5)
    out = tuple(renet(torch.zeros(1, *shape)).shape[1:])
    linear = {"weight": torch.randn(2, out[0]), "bias": torch.randn(2)}
    nodes = (
        Node(Composite("ReNet2d", renet), ("image",), "renet", "renet", "renet", "ReNet2d"),
        Node(GlobalAverage(), ("renet",), "pool", "pool", "pool", ""),
        Node(Linear(), ("pool",), "exit", "exit", "exit", "", linear),
    )
    shapes = {"image": shape, "renet": out, "pool": out[:1], "exit": (2,)}
    graph = Graph("image", (StageGraph(nodes, "exit", ()),), shapes)
    found = quantize(graph, {name: Range(-2.0, 1.0) for name in graph.shapes})
    operator = found.operators["renet"]
    assert isinstance(operator, IntegerReNet)
    return renet, operator, found.scales["image"]


@pytest.mark.parametrize("patch", [1, 2, (3, 2)])
def test_renet_is_its_sweeps_one_by_one(patch: int | tuple[int, int]) -> None:
    renet, operator, scale = made_renet(patch)
    x = torch.randint(-128, 128, (1, 3, 7, 5), generator=torch.Generator().manual_seed(1))
    found = operator.run([x])[0].numpy()
    (height, width), (rows, columns) = renet.patch_size, found.shape[1:]
    top, left = (rows * height - 7) // 2, (columns * width - 5) // 2
    image = np.full((3, rows * height, columns * width), operator.zero_in)
    image[:, top : top + 7, left : left + 5] = x[0].numpy()

    def along(cell: IntegerCell, inputs: list[np.ndarray], way: int, kept: bool) -> list[Any]:
        taken = [project(cell.inputs, one) for one in inputs]
        if kept:
            taken = [2 * np.clip(np.floor_divide(one, 2), -32768, 32767) for one in taken]
        return states_of(cell, taken[:: -1 if way else 1])[:: -1 if way else 1]

    vertical: dict[tuple[int, int], np.ndarray] = {}
    for j in range(columns):
        patches = [
            image[:, i * height : (i + 1) * height, j * width : (j + 1) * width].flatten()
            for i in range(rows)
        ]
        ways = [along(cell, patches, way, True) for way, cell in enumerate(operator.columns)]
        for i in range(rows):
            vertical[i, j] = np.concatenate([way[i] for way in ways])
    factor = operator.states.factor
    pairs = list(zip(factor.multipliers, factor.shifts, strict=True))
    for i in range(rows):
        line = [vertical[i, j] for j in range(columns)]
        ways = [along(cell, line, way, False) for way, cell in enumerate(operator.rows)]
        for j in range(columns):
            states = np.concatenate([way[j] for way in ways])
            expected = [
                math.floor(Fraction(int(s) * m, 2 ** (29 + k)) + Fraction(1, 2))
                for s, (m, k) in zip(states, pairs, strict=True)
            ]
            expected = np.clip(np.array(expected) + operator.scale.zero, -128, 127).tolist()
            assert found[:, i, j].tolist() == expected
    q = scale.quantized(torch.rand(2, 3, 7, 5) * 3 - 2)
    with torch.no_grad():
        wanted = renet(scale.real(q))
    assert (operator.scale.real(operator.run([q])) - wanted).abs().max() < 2 * operator.scale.scale


def test_the_tables_are_near_the_functions() -> None:
    x = torch.arange(-40000, 40001, 7)
    real = (x / 4096).double()
    assert (hyperbolic(x) / 32768 - real.tanh()).abs().max() < 2e-4
    assert (sigmoid(x) / 32768 - real.sigmoid()).abs().max() < 1.5e-4
