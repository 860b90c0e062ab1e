"""What a paper claims, what was found, and whether that agrees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from harness.measure import unpacked
from harness.results import Row

Verdict = Literal["holds", "does not hold", "cannot be told at this scale", "not run yet"]
UNCLEAR: Verdict = "cannot be told at this scale"
DRAWS = 2000


@dataclass(frozen=True)
class Claim:
    """One claim.

    Attributes:
        text: what the paper says, in our words.
        paper: its figure.
        ours: what was found, with its interval.
        verdict: of the two.
        note: what else a reader has to know.
    """

    text: str
    paper: str
    ours: str
    verdict: Verdict
    note: str = ""


@dataclass(frozen=True)
class Difference:
    """How much larger one run's share is than another's, in points, with a 95 % interval.

    Attributes:
        points: of the mean over seeds.
        low, high: ends of the interval, over seeds and images where there are several seeds, over
            images alone where there is one.
        seeds: that both runs have.
    """

    points: float
    low: float
    high: float
    seeds: int

    def __str__(self) -> str:
        seeds = f"{self.seeds} seeds" if self.seeds > 1 else "1 seed"
        return f"{self.points:+.1f} points ({self.low:+.1f} to {self.high:+.1f}, {seeds})"

    def verdict(self, larger: bool = True) -> Verdict:
        """Of a claim that the first is larger, or that it is smaller."""
        low, high = (self.low, self.high) if larger else (-self.high, -self.low)
        return "holds" if low > 0 else "does not hold" if high < 0 else UNCLEAR


def difference(
    rows: Sequence[Row], first: str, second: str, column: str, other: str | None = None
) -> Difference | None:
    """Compares two runs sample by sample, over the seeds that both have; None if there is none.

    Seeds, then images, are drawn with replacement, the same images for both runs and all seeds.

    Args:
        rows: of a study, of one scale and recipe.
        first: name of a run.
        second: name of the other.
        column: one that `packed` wrote.
        other: column of the second run, if it is another.
    """
    bits = [
        {
            int(row["seed"]): unpacked(row[which], int(row["samples"]))
            for row in rows
            if row["run"] == run
        }
        for run, which in ((first, column), (second, other or column))
    ]
    shared = sorted(bits[0].keys() & bits[1].keys())
    if not shared:
        return None
    gains = np.stack([bits[0][seed].astype(float) - bits[1][seed] for seed in shared])
    low, high = np.quantile(_means(gains), [0.025, 0.975])
    points, low, high = (100 * float(value) for value in (gains.mean(), low, high))
    return Difference(points, low, high, len(shared))


def _means(gains: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of drawn seeds and images (DRAWS), from gains (seeds, images)."""
    draw = np.random.default_rng(0)
    seeds, images = gains.shape
    found = np.empty(DRAWS)
    for k in range(DRAWS):
        weights = np.bincount(draw.integers(images, size=images), minlength=images)
        found[k] = (gains[draw.integers(seeds, size=seeds)] @ weights).mean() / images
    return found


def compared(
    rows: Sequence[Row],
    text: str,
    paper: str,
    runs: tuple[str, str],
    column: str,
    *,
    other: str | None = None,
    larger: bool = True,
    note: str = "",
) -> Claim:
    """A claim that the first of two runs is better than the second, or worse; see `difference`."""
    found = difference(rows, *runs, column, other)
    if found is None:
        return Claim(text, paper, "", "not run yet", note)
    return Claim(text, paper, str(found), found.verdict(larger), note)


def counts(claims: Sequence[Claim]) -> Mapping[str, int]:
    """How many claims have each verdict."""
    return {one: sum(claim.verdict == one for claim in claims) for one in get_args(Verdict)}
