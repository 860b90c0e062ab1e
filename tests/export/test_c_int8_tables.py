"""How int8 weights lie, and the lines that stand for tanh."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch

from exeunt.export.c.folder import RUNTIME
from exeunt.export.c.packed_s8 import in_fours, in_threes, packed, requantized
from exeunt.export.c.room import largest_gap
from exeunt.export.c.source import CSource
from exeunt.graph.graph import Node
from exeunt.graph.operators import Linear
from exeunt.quantize.operators import IntegerLinear
from exeunt.quantize.rex import MAX_GATE, TANH, hyperbolic, sigmoid
from exeunt.quantize.rows import integer_rows
from exeunt.quantize.scale import Factor, Scale


@pytest.mark.parametrize(("rows", "runs", "inputs"), [(4, 1, 8), (6, 2, 11), (1, 3, 1)])
def test_packed_rows_come_apart_again(rows: int, runs: int, inputs: int) -> None:
    torch.manual_seed(0)
    weight = torch.randint(-127, 128, (rows, runs, inputs))
    both = packed(weight)
    assert both.abs().max() < 2**15
    found = torch.zeros(-(-rows // 4) * 4, runs, -(-inputs // 8) * 8, dtype=torch.int64)
    walk = iter(both.flatten().tolist())
    for row in range(0, len(found), 4):
        for run in range(runs):
            for start in range(0, found.shape[2], 4):
                for pair in (row, row + 2):
                    for column in (start, start + 2, start + 1, start + 3):
                        two = next(walk)
                        low = (two + 128) % 256 - 128
                        found[pair, run, column] = low
                        found[pair + 1, run, column] = (two - low) // 256
    assert next(walk, None) is None
    assert torch.equal(found[:rows, :, :inputs], weight)
    assert found.abs().sum() == weight.abs().sum()


def test_rows_in_threes_take_turns() -> None:
    weight = torch.arange(1, 5 * 2 * 9 + 1).view(5, 2, 9)
    found = in_threes(weight).flatten().tolist()
    assert len(found) == 6 * 2 * 16
    assert found[:8] == weight[0, 0, :8].tolist()
    assert found[8:16] == weight[1, 0, :8].tolist()
    assert found[16:24] == weight[2, 0, :8].tolist()
    assert found[24:32] == [int(weight[0, 0, 8]), *[0] * 7]
    assert found[48:56] == weight[0, 1, :8].tolist()
    assert sorted(filter(None, found)) == weight.flatten().tolist()


def test_taps_go_in_pairs_of_four_channels_and_an_odd_one_last() -> None:
    weight = torch.arange(1, 5 * 3 + 1).view(5, 3)  # channel 0 has 1, 2, 3
    first = [1, 2, 4, 5, 7, 8, 10, 11, 3, 6, 9, 12]
    assert in_fours(weight).tolist() == [first, [13, 14, 0, 0, 0, 0, 0, 0, 15, 0, 0, 0]]
    assert in_fours(weight[:4, :2]).tolist() == [first[:8]]
    assert in_fours(weight[:1, :1]).tolist() == [[1, 0, 0, 0]]


def test_lines_give_what_tables_do() -> None:
    text = (RUNTIME / "exn_tanh.c").read_text()
    pairs = re.findall(r"\{(-?\d+), (\d+)\}", text)
    lines = torch.tensor([[int(start), int(slope)] for start, slope in pairs])
    x = torch.arange(-MAX_GATE - 200, MAX_GATE + 200)

    at = x.clamp(-32768, 32767)
    start, slope = lines[256 + (at >> 7)].unbind(1)
    assert torch.equal((start + slope * (at & 127)) >> 7, hyperbolic(x).long())

    at = x.clamp(-65536, 65535)
    start, slope = lines[256 + (at >> 8)].unbind(1)
    assert torch.equal(16384 + ((start + slope * (at >> 1 & 127)) >> 8), sigmoid(x).long())


def test_heights_are_those_of_tables_as_far_as_they_grow() -> None:
    text = (RUNTIME / "exn_tanh.c").read_text()
    heights = list(map(int, re.findall(r"-?\d+", text.split("exn_tanh_heights[EXN_HEIGHTS] =")[1])))
    assert heights == TANH[: len(heights)].tolist()
    assert set(TANH[len(heights) - 2 :].tolist()) == {heights[-1]} == {heights[-2]}


def outputs_of(factors: list[float], bias: list[int]) -> IntegerLinear:
    weight = torch.tensor([[127, -127]] * len(factors))
    return IntegerLinear(weight, torch.tensor(bias), Factor.of(factors), 0, Scale(1.0), -128, 127)


def test_fours_give_what_factors_do_for_every_sum() -> None:
    """(sum + bias) * multiplier in the upper word, half of it, halves up; two parts begin anew."""
    torch.manual_seed(0)
    factors = (2.0 ** -(2.5 + 7.5 * torch.rand(5))).tolist()
    operator = outputs_of(factors, [5, -7, 300, 2**20, -(2**21)])
    source = CSource("net")
    named = requantized(source, "x", operator, (2, 3))
    assert named["rows"] == "NULL"
    numbers = [int(n) for n in re.findall(r"-?\d+", source.parts[-1].partition("=")[2])]
    fours = torch.tensor(numbers).view(2, 2, 4)
    assert not fours[0, :, 2:].any()
    assert not fours[1, :, 3].any()
    bias, multiplier = torch.cat([fours[0, :, :2], fours[1, :, :3]], 1)
    sums = torch.arange(-(2**14), 2**14)[:, None]
    high = (sums + bias) * multiplier >> 32
    assert torch.equal((high + 1 >> 1).double(), operator.factor.apply(sums + operator.bias))


@pytest.mark.parametrize(
    ("factors", "bias"), [([0.5, 0.01], [0, 0]), ([1e-6, 0.01], [0, 0]), ([0.01], [2**23])]
)
def test_uneven_factors_and_large_sums_keep_rows(factors: list[float], bias: list[int]) -> None:
    source = CSource("net")
    named = requantized(source, "x", outputs_of(factors, bias))
    assert named["fours"] == "NULL"
    first = source.parts[-1].partition("=")[2]
    assert [int(n) for n in re.findall(r"-?\d+", first)][:2] == [
        bias[0] << 3,
        Factor.of(factors).multipliers[0],
    ]


def test_small_factors_are_rounded_so_that_fours_hold_them() -> None:
    """They become multiples of 2**-33; sums of 24 bits move by less than 2**-10."""
    factors = [2.0**-k * f for k in range(3, 29) for f in (0.5, 0.7, 0.999999)]
    exact = Factor.of(factors)
    coarse = exact.coarse()
    assert all(float(f * 2**33).is_integer() for f in coarse.real)
    assert ((coarse.real - exact.real).abs() * 2**23 < 2**-10).all()
    assert coarse.real[0] == 2.0**-4
    operator = replace(outputs_of(factors, [0] * len(factors)), factor=coarse)
    assert requantized(CSource("net"), "x", operator)["rows"] == "NULL"


def test_a_channel_that_only_has_a_bias_keeps_to_fours() -> None:
    """Batch norm of a dead channel leaves weights of nothing beside an offset of its own."""
    rows = torch.tensor([[1e-12, -2e-12], [0.3, 0.2]])
    bias = torch.tensor([2.0, 0.1])
    node = Node(Linear(), ("x",), "y", "conv", "conv", "Conv2d")
    q, sums, factor = integer_rows(rows, bias, (0.02, 0.02), 5, 133, node)
    operator = replace(outputs_of([1.0, 1.0], [0, 0]), weight=q, bias=sums, factor=factor.coarse())
    assert requantized(CSource("net"), "x", operator)["rows"] == "NULL"
    made = operator.factor.apply(sums[None] + 5 * q.sum(1)[None])
    assert made.tolist() == [[100, 5]]  # 2 / 0.02 and 0.1 / 0.02


def test_the_largest_gap_begins_at_a_word() -> None:
    assert largest_gap([(0, 10), (30, 40)], 64) == (40, 24)
    assert largest_gap([(0, 10), (6, 9), (40, 64)], 64) == (12, 28)
    assert largest_gap([], 8) == (0, 8)
    assert largest_gap([(0, 63)], 64)[1] <= 0
