"""What integers stand for, and how sums become integers again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from exeunt.errors import ExeuntError

INT8 = (-128, 127)
INT16 = (-32768, 32767)
SUM_BITS = 31
SPARE_BITS = 3
FACTOR_BITS = 24
FINE_BITS = 1  # of outputs of 8 bits, before they are rounded: halves are exact then
LARGEST_FACTOR = 2.0 ** (SPARE_BITS - 2)
NOTHING = 2.0**-100  # a step of it is still a normal float32


@dataclass(frozen=True)
class Scale:
    """An integer q stands for `scale * (q - zero)`.

    Attributes:
        scale: what one step is worth.
        zero: the integer that stands for 0.
        limits: least and largest integer.
    """

    scale: float
    zero: int = 0
    limits: tuple[int, int] = INT8

    @classmethod
    def over(cls, low: float, high: float) -> Scale:
        """Of int8 that reach from `low` to `high`; 0 is always among them, exactly."""
        low, high = min(low, 0.0), max(high, 0.0)
        least, most = INT8
        step = _span(high - low) / (most - least)
        return cls(step, max(least, min(most, round(least - low / step))))

    @classmethod
    def symmetric(cls, largest: float, limits: tuple[int, int]) -> Scale:
        """With zero 0, so that `largest` and its negative are just within."""
        return cls(_span(largest) / limits[1], 0, limits)

    def quantized(self, values: Tensor) -> Tensor:
        """The nearest integers, int64."""
        q = torch.round(values.double() / self.scale).long() + self.zero
        return q.clamp(*self.limits)

    def real(self, integers: Tensor) -> Tensor:
        """What integers stand for, float32."""
        return ((integers - self.zero).double() * self.scale).float()


def _span(width: float) -> float:
    """What integers are spread over: 1 where there is nothing but zeros, or next to nothing."""
    return width if width > NOTHING else 1.0


@dataclass(frozen=True)
class Factor:
    """Factors of sums, as integers: `multiplier / 2 ** (32 - SPARE_BITS + shift)`, by channel.

    Attributes:
        multipliers: in size 2**30 ... 2**31 - 1, or 0; the last 7 bits are 0.
        shifts: in 1 ... 31.
    """

    multipliers: tuple[int, ...]
    shifts: tuple[int, ...]

    @classmethod
    def of(cls, values: Sequence[float], where: str = "factor") -> Factor:
        """The nearest to real numbers.

        Raises:
            ExeuntError: one is too large, naming the place.
        """
        pairs = [_integers(value, where) for value in values]
        return cls(tuple(m for m, _ in pairs), tuple(s for _, s in pairs))

    def __len__(self) -> int:
        return len(self.multipliers)

    def coarse(self) -> Factor:
        """The nearest that are multiples of `2 ** -(32 + FINE_BITS)`, where one product of 32 bits
        has all that an output of 8 bits needs; off by at most 2**-11 of an output where sums have
        24 bits.
        """
        pairs = []
        for multiplier, shift in zip(self.multipliers, self.shifts, strict=True):
            step = 1 << max(0, shift - SPARE_BITS - FINE_BITS)
            multiplier = round(multiplier / step) * step
            above = abs(multiplier) == 2**31
            pairs.append((multiplier // 2, shift - 1) if above else (multiplier, shift))
        return Factor(tuple(m for m, _ in pairs), tuple(s for _, s in pairs))

    @cached_property
    def real(self) -> Tensor:
        """The factors, exactly, in float64."""
        pairs = zip(self.multipliers, self.shifts, strict=True)
        factors = [m * 2.0 ** (SPARE_BITS - 32 - s) for m, s in pairs]
        return torch.tensor(factors, dtype=torch.float64)

    def apply(self, sums: Tensor) -> Tensor:
        """Scales sums (N, C, ...) of integers by channel to integers in float64, halves up.

        All of it is exact: sums have 28 bits, and multipliers no more than 24 that are not 0.
        """
        scaled = sums.double() * self.real.view(-1, *(1,) * (sums.dim() - 2))
        return scaled.add_(0.5).floor_()

    @staticmethod
    def check(largest: Sequence[int], where: str) -> None:
        """Refuses sums that leave fewer than `SPARE_BITS` of 32 bits.

        Raises:
            ExeuntError: naming the place and the channel.
        """
        most = 1 << (SUM_BITS - SPARE_BITS)
        for channel, sums in enumerate(largest):
            if sums >= most:
                raise ExeuntError(
                    f"{where}: sums of channel {channel} may reach {sums}, more than {most}; its "
                    "weights or inputs are too uneven for int8"
                )


def _integers(value: float, where: str) -> tuple[int, int]:
    mantissa, exponent = math.frexp(value)
    multiplier = round(mantissa * 2**FACTOR_BITS) << (31 - FACTOR_BITS)
    if abs(multiplier) == 2**31:
        multiplier, exponent = multiplier // 2, exponent + 1
    shift = -exponent - 1 + SPARE_BITS
    if shift < 1:
        raise ExeuntError(
            f"{where}: one step of its sums is {value:.3g} of its output; below {LARGEST_FACTOR} "
            "fits. Its inputs reach too far for its weights: an activation that limits them helps"
        )
    return (multiplier, shift) if shift <= 31 else (0, 31)
