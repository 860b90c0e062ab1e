"""Integer operators against loops over pixels, and against what they stand for."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from exeunt.graph.operators import Pad, Resize
from exeunt.quantize.operators import (
    IntegerAverage,
    IntegerConv,
    IntegerGridPool,
    IntegerPad,
    IntegerPool,
    IntegerResize,
    IntegerSum,
)
from exeunt.quantize.scale import Factor, Scale


def integers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(-128, 128, shape, generator=torch.Generator().manual_seed(seed))


def rounded(value: Fraction) -> int:
    return math.floor(value + Fraction(1, 2))


@pytest.mark.parametrize(
    ("groups", "stride", "padding"), [(1, (1, 1), (1, 1)), (1, (2, 1), (0, 2)), (4, (2, 2), (1, 0))]
)
def test_a_convolution_is_a_loop_over_windows(
    groups: int, stride: tuple[int, int], padding: tuple[int, int]
) -> None:
    x, weight = integers(1, 4, 5, 6), integers(8, 4 // groups, 3, 2, seed=1)
    bias, zero = integers(8, seed=2) * 50, -7
    factor = Factor.of([0.001 * (k + 1) for k in range(8)])
    scale = Scale(0.1, zero=3)
    conv = IntegerConv(
        weight, bias, factor, zero, scale, -20, 100, (3, 2), stride, padding, (1, 1), groups
    )
    found = conv.run([x])[0]
    for o, row, column in itertools.product(*map(range, found.shape)):
        total = int(bias[o])
        for c, i, j in itertools.product(range(4 // groups), range(3), range(2)):
            y, z = row * stride[0] + i - padding[0], column * stride[1] + j - padding[1]
            channel = o // (8 // groups) * (4 // groups) + c
            inside = 0 <= y < 5 and 0 <= z < 6
            total += int(weight[o, c, i, j]) * (int(x[0, channel, y, z]) if inside else zero)
        exact = Fraction(factor.multipliers[o], 2 ** (29 + factor.shifts[o]))
        assert int(found[o, row, column]) == max(-20, min(100, rounded(total * exact) + 3))


@pytest.mark.parametrize(
    ("channels", "kernel", "groups"),
    [(130, 3, 1), (48, 3, 1), (7, 3, 7), (512, 1, 1), (600, 1, 1)],
)
@pytest.mark.parametrize("images", [1, 16])
def test_the_largest_sums_are_exact(images: int, channels: int, kernel: int, groups: int) -> None:
    taken = channels // groups
    x = integers(images, channels, 6, 5)
    x[0] = -128
    weight = integers(channels, taken, kernel, kernel, seed=1).clamp(min=-127)
    weight[0] = -127
    bias, factor = integers(channels, seed=2), Factor.of([0.25] * channels)
    wide, zero = Scale(1.0, limits=(-(2**30), 2**30)), 127
    padding = kernel // 2
    conv = IntegerConv(weight, bias, factor, zero, wide, *wide.limits, (kernel, kernel), (1, 1),
                       (padding, padding), (1, 1), groups)  # fmt: skip
    around = F.pad(x, (padding,) * 4, value=zero)
    windows = F.unfold(around.double(), kernel).long().unflatten(1, (groups, -1))
    filters = weight.flatten(1).unflatten(0, (groups, -1))
    sums = (filters @ windows).reshape(images, channels, 6, 5) + bias.view(-1, 1, 1)
    assert torch.equal(conv.run([x]), ((sums + 2) >> 2).int())


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("ceil", [True, False])
def test_an_average_is_that_of_what_the_numbers_stand_for(counted: bool, ceil: bool) -> None:
    x, zero = integers(1, 2, 7, 6), 5
    pool = IntegerPool("average", (3, 2), (2, 2), (1, 1), ceil, counted, zero)
    exact = F.avg_pool2d((x - zero).double(), (3, 2), (2, 2), (1, 1), ceil, counted)
    assert torch.equal(pool.run([x]), torch.floor(exact + 0.5 + 1e-9).long() + zero)


def test_maxima_ignore_padding() -> None:
    x = integers(1, 2, 5, 5) - 200
    pool = IntegerPool("max", (3, 3), (2, 2), (1, 1), False, True, 0)
    expected = F.max_pool2d(x.double(), 3, 2, 1).long()
    assert torch.equal(pool.run([x]), expected)


@pytest.mark.parametrize("of", ["max", "average"])
def test_cells_of_a_grid_may_overlap(of: str) -> None:
    x, zero = integers(2, 3, 7, 5), -3
    found = IntegerGridPool(of, (4, 2), zero).run([x])
    adaptive = F.adaptive_max_pool2d if of == "max" else F.adaptive_avg_pool2d
    exact = adaptive((x - zero).double(), (4, 2))
    assert torch.equal(found, torch.floor(exact + 0.5 + 1e-9).long() + zero)


def test_a_global_average_comes_in_steps_of_its_output() -> None:
    x = integers(2, 3, 4, 4)
    average = IntegerAverage(Factor.of([0.5 / 16 / 0.25]), zero_in=10, scale=Scale(0.25, -100))
    exact = (0.5 * (x - 10).double()).mean((2, 3)) / 0.25
    assert torch.equal(average.run([x]), (torch.floor(exact + 0.5).long() - 100).clamp(-128, 127))


def test_a_sum_is_that_of_what_the_numbers_stand_for() -> None:
    a, b = integers(1, 2, 8, 8), integers(1, 2, 8, 8, seed=1)
    total = IntegerSum(round(0.5 * 2**20), round(1.25 * 2**20), 20, 3, -4, Scale(1.0, 9), -128, 127)
    exact = 0.5 * (a - 3).double() + 1.25 * (b + 4).double() + 9
    assert torch.equal(total.run([a, b]), torch.floor(exact + 0.5).long().clamp(-128, 127))


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("size", [(9, 14), (5, 7), (3, 4)])
def test_resizing_is_bilinear_within_a_step(align_corners: bool, size: tuple[int, int]) -> None:
    x = integers(1, 2, 5, 7)
    found = IntegerResize(Resize(size, align_corners)).run([x])
    exact = F.interpolate(x.double(), size, mode="bilinear", align_corners=align_corners)
    assert (found - exact).abs().max() <= 1.5


def test_padding_is_what_stands_for_0() -> None:
    padded = IntegerPad(Pad((1, 0, 0), (0, 1, 2)), -9).run([torch.full((1, 1, 1, 1), 4)])
    assert padded.tolist() == [[[[-9, -9, -9], [-9, -9, -9]], [[4, -9, -9], [-9, -9, -9]]]]
