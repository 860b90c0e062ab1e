"""How int8 weights lie, and the lines that stand for tanh."""

from __future__ import annotations

import re

import pytest
import torch

from exeunt.export.c.folder import RUNTIME
from exeunt.export.c.packed_s8 import in_fours, in_threes, packed
from exeunt.quantize.rex import MAX_GATE, TANH, hyperbolic, sigmoid


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
