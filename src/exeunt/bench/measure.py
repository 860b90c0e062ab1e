"""Milliseconds to every exit, of networks and engines that take turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from exeunt.bench.engine import Opened
from exeunt.errors import ExeuntError

WARM_UP = 5
"""Turns that are not measured."""


@dataclass(frozen=True, eq=False)
class Timing:
    """What was measured of one network in one engine.

    Attributes:
        exits: milliseconds from the image to each exit, the exits before it included, (runs, E).
        batches: milliseconds for all images of a batch, (runs,).
        images: in a batch.
    """

    exits: NDArray[np.float64]
    batches: NDArray[np.float64]
    images: int

    @property
    def low_ms(self) -> tuple[float, ...]:
        """The least to each exit (E)."""
        return tuple(self.exits.min(0).tolist())

    @property
    def median_ms(self) -> tuple[float, ...]:
        """The median to each exit (E)."""
        return tuple(np.median(self.exits, 0).tolist())

    def mean_ms(self, shares: Sequence[float]) -> float:
        """Milliseconds of an image on average, by the least times, where these shares of images
        take each exit (E): as Figure 4 of the ReX paper has it.
        """
        return sum(share * ms for share, ms in zip(shares, self.low_ms, strict=True))

    @property
    def images_per_second(self) -> float:
        """In the fastest batch."""
        return float(1e3 * self.images / self.batches.min())


def measure(
    opened: Sequence[tuple[Opened, int]],
    leaving: Sequence[Sequence[int]],
    *,
    runs: int = 50,
    batch_runs: int = 3,
    warm_up: int = WARM_UP,
    clock: Callable[[], float] = perf_counter,
    on_run: Callable[[], None] = lambda: None,
) -> list[Timing]:
    """Runs one image through each in turn, again and again, then batches, likewise in turn.

    Whatever else slows the machine slows all of them. In its turn each runs twice, and the second
    time counts: the first finds the caches as its neighbour left them, which took onnxruntime a
    quarter longer after PyTorch than after itself. The clock is read when the logits of an exit
    are there, since a policy would look at them then; what the policy itself takes is not in it.

    Args:
        opened: what to run, and how many exits it has.
        leaving: for each the exit (from 0) of every image of a batch.
        runs: of one image, at least 1.
        batch_runs: of a batch, at least 1; one more is run before.
        warm_up: runs of one image before.
        clock: in seconds.
        on_run: called after every turn.

    Raises:
        ExeuntError: for numbers below these.
    """
    if min(runs, batch_runs) < 1 or warm_up < 0:
        raise ExeuntError(f"runs={runs}, batch_runs={batch_runs}, warm_up={warm_up}: too few")
    exits: list[list[list[float]]] = [[] for _ in opened]
    batches: list[list[float]] = [[] for _ in opened]
    for turn in range(-warm_up, runs):
        for (one, count), record in zip(opened, exits, strict=True):
            _image(one, count, clock)
            taken = _image(one, count, clock)
            if turn >= 0:
                record.append(taken)
        on_run()
    for turn in range(-1, batch_runs):
        for (one, _), where, times in zip(opened, leaving, batches, strict=True):
            start = clock()
            one.batch(where)
            if turn >= 0:
                times.append(clock() - start)
        on_run()
    return [
        Timing(1e3 * np.array(image), 1e3 * np.array(batch), len(where))
        for image, batch, where in zip(exits, batches, leaving, strict=True)
    ]


def _image(opened: Opened, exits: int, clock: Callable[[], float]) -> list[float]:
    """Seconds to each exit."""
    start, taken = clock(), []
    opened.start()
    for k in range(exits):
        opened.step(k)
        taken.append(clock() - start)
    return taken
