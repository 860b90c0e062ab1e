"""Wilson's interval, against its defining equation and published values."""

from __future__ import annotations

import math

import pytest

from exeunt.errors import ExeuntError
from exeunt.evaluate import wilson


@pytest.mark.parametrize(
    ("successes", "samples", "low", "high"),
    [  # Newcombe, Statistics in Medicine 1998, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_published_values(successes: int, samples: int, low: float, high: float) -> None:
    assert wilson(successes, samples) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("level", [0.8, 0.99])
def test_ends_are_as_far_off_as_the_level_allows(level: float) -> None:
    z = {0.8: 1.2815515655446004, 0.99: 2.5758293035489004}[level]
    for end in wilson(30, 100, level):
        assert abs(0.3 - end) == pytest.approx(z * math.sqrt(end * (1 - end) / 100))


def test_all_right_and_all_wrong_mirror_each_other() -> None:
    low, high = wilson(7, 7)
    assert 1 - 1e-9 < high <= 1
    assert wilson(0, 7) == pytest.approx((0.0, 1 - low))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((3, 2), "3 of 2"), ((-1, 2), "-1 of 2"), ((0, 0), "0 of 0"), ((1, 2, 1.0), "level must")],
)
def test_nonsense_is_refused(arguments: tuple[int, ...], message: str) -> None:
    with pytest.raises(ExeuntError, match=message):
        wilson(*arguments)
