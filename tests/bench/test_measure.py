"""Turns, minima and means, by a clock that only moves when a stage runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from exeunt.bench import Timing, assigned_exits, measure
from exeunt.bench.engine import Array, AssignedExits, OneByOne
from exeunt.errors import ExeuntError
from exeunt.inference import drive


class World:
    """A clock, and a diary of what ran when."""

    def __init__(self) -> None:
        self.now, self.diary = 0.0, ""

    def clock(self) -> float:
        return self.now


class Scripted(OneByOne):
    """Each stage takes so many seconds; what it takes in a run is drawn from a list."""

    def __init__(self, world: World, name: str, seconds: Sequence[float]) -> None:
        self.world, self.name = world, name
        self.pace: Iterator[float] = iter(lambda: 1.0, 0.0)
        self.seconds, self.factor = seconds, 1.0

    def start(self) -> None:
        self.factor = next(self.pace)
        self.take(0)

    def take(self, picture: int) -> None:
        self.world.diary += self.name

    def step(self, k: int) -> Array:
        self.world.now += self.factor * self.seconds[k]
        self.world.diary += str(k)
        return np.zeros((1, 2), np.float32)


def test_everything_takes_turns_and_the_first_ones_do_not_count() -> None:
    world = World()
    a, b = Scripted(world, "a", (0.5, 0.25)), Scripted(world, "b", (2.0,))
    a.pace = iter((100.0, 100.0, 50.0, 4.0, 50.0, 1.0, 50.0, 2.0, 1.0))
    found, other = measure(
        [(a, 2), (b, 1)],
        [[1, 0], [0]],
        runs=3,
        batch_runs=1,
        warm_up=1,
        clock=world.clock,
    )
    assert world.diary == "a01a01b0b0" * 4 + "a01a0b0" * 2
    assert found.exits.tolist() == [[2000, 3000], [500, 750], [1000, 1500]]
    assert found.low_ms == (500, 750)
    assert found.median_ms == (1000, 1500)
    assert other.low_ms == (2000,)
    assert other.images_per_second == 0.5
    assert found.images == 2


def test_the_mean_is_that_of_the_paper() -> None:
    found = Timing(np.array([[2.0, 4.0, 10.0], [3.0, 3.0, 12.0]]), np.array([5.0, 4.0]), 8)
    assert found.mean_ms((0.5, 0.25, 0.25)) == 1 + 0.75 + 2.5
    assert found.images_per_second == 2000


@pytest.mark.parametrize("wrong", [{"runs": 0}, {"batch_runs": 0}, {"warm_up": -1}])
def test_too_few_runs(wrong: dict[str, int]) -> None:
    with pytest.raises(ExeuntError, match="too few"):
        measure([], [], **wrong)


@pytest.mark.parametrize(
    ("shares", "count", "expected"),
    [
        ((0.5, 0.25, 0.25), 4, [2, 1, 1]),
        ((0.34, 0.33, 0.33), 10, [4, 3, 3]),  # by the largest remainder
        ((0.0, 1.0), 3, [0, 3]),
        ((0.9, 0.05, 0.05), 1, [1, 0, 0]),
    ],
)
def test_as_many_leave_as_the_shares_say(
    shares: tuple[float, ...], count: int, expected: list[int]
) -> None:
    leaving = assigned_exits(shares, count)
    assert np.bincount(leaving, minlength=len(shares)).tolist() == expected
    assert leaving == assigned_exits(shares, count)


def test_appointed_images_leave_there_in_any_parts() -> None:
    leaving = torch.tensor([2, 0, 1, 2, 0])
    policy: Any = AssignedExits(leaving)
    taken = [drive(policy, 3, Silent(len(part))).exit_index for part in leaving.split(2)]
    assert torch.cat(taken).tolist() == leaving.tolist()


class Silent:
    """Logits of a batch that say nothing."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def __call__(self, k: int, keep: torch.Tensor | None) -> torch.Tensor:
        self.rows = self.rows if keep is None else len(keep)
        return torch.zeros(self.rows, 2)
