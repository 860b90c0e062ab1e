"""Scales and factors against exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from exeunt.errors import ExeuntError
from exeunt.quantize.scale import INT16, Factor, Scale


@given(st.floats(1e-7, 1.9), st.integers(-(2**27), 2**27))
def test_a_factor_rounds_to_the_nearest_halves_up(value: float, total: int) -> None:
    factor = Factor.of([value])
    exact = Fraction(factor.multipliers[0], 2 ** (29 + factor.shifts[0]))
    assert abs(exact / Fraction(value) - 1) < Fraction(1, 2**23)
    found = factor.apply(torch.tensor([[total]])).item()
    assert found == math.floor(total * exact + Fraction(1, 2))


def test_a_factor_that_is_too_small_gives_0_and_one_too_large_is_refused() -> None:
    assert Factor.of([1e-12]).apply(torch.tensor([[2**27]])).item() == 0
    with pytest.raises(ExeuntError, match="is 3 of its output; below 2"):
        Factor.of([3.0])


def test_factors_belong_to_channels() -> None:
    sums = torch.full((1, 2, 1, 1), 100)
    assert Factor.of([0.5, 0.125]).apply(sums).flatten().tolist() == [50, 13]


@given(st.floats(-50, 50), st.floats(-50, 50))
def test_zero_is_always_an_integer(a: float, b: float) -> None:
    scale = Scale.over(min(a, b), max(a, b))
    assert scale.real(scale.quantized(torch.zeros(1))).item() == 0
    assert -128 <= scale.zero <= 127


@pytest.mark.parametrize("high", [0.0, 5e-324, 1e-31])
def test_nothing_is_spread_over_1(high: float) -> None:
    assert Scale.over(0.0, high) == Scale(1 / 255, -128)
    assert Scale.symmetric(high, INT16) == Scale(1 / 32767, 0, INT16)


def test_the_ends_of_a_range_are_reached_within_a_step() -> None:
    scale = Scale.over(-1.0, 3.0)
    q = scale.quantized(torch.tensor([-1.0, 3.0, 99.0]))
    assert q.tolist() == [-128, 127, 127]
    assert torch.allclose(scale.real(q[:2]), torch.tensor([-1.0, 3.0]), atol=scale.scale)
    wide = Scale.symmetric(2.0, INT16)
    assert wide.quantized(torch.tensor([2.0, -2.0])).tolist() == [32767, -32767]


def test_sums_that_use_up_the_spare_bits_are_refused() -> None:
    Factor.check([2**28 - 1], "stages.0")
    with pytest.raises(ExeuntError, match=r"stages\.0: sums of channel 1 may reach 268435456"):
        Factor.check([5, 2**28], "stages.0")
