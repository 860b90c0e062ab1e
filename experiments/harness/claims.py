"""What a paper claims, what was found, and whether that agrees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from harness.measure import numbers, unpacked
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

    def verdict(self, larger: bool = True, least: float = 0.0) -> Verdict:
        """Of a claim that the first is larger by so many points, or that it is smaller."""
        low, high = (self.low, self.high) if larger else (-self.high, -self.low)
        return "holds" if low > least else "does not hold" if high < least else UNCLEAR


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


def above(
    text: str, paper: str, first: Row | None, second: Row | None, costs: str, scores: str
) -> Claim:
    """A claim that one run's curve is over another's, wherever both have points.

    Args:
        text: of the claim.
        paper: its figure.
        first: row of a run, of one seed; None where there is none yet.
        second: of the other.
        costs: their column, a number for each point.
        scores: likewise.
    """
    if first is None or second is None:
        return Claim(text, paper, "", "not run yet")
    gains = _gains(first, second, costs, scores)
    if not gains:
        return Claim(text, paper, "the curves span no common cost", UNCLEAR, "one seed")
    error = 100 * half_interval(first)  # at most, of one curve
    low, high = min(gains), max(gains)
    verdict: Verdict = UNCLEAR
    if low > error or high < -error:
        verdict = "holds" if low > error else "does not hold"
    ours = f"{low:+.1f} to {high:+.1f} points over {len(gains)} costs"
    return Claim(text, paper, ours, verdict, "one seed")


def half_interval(row: Row, share: float = 0.5) -> float:
    """Half of a 95 % interval of an accuracy, at most, or of one that is known."""
    return 1.96 * float((share * (1 - share) / int(row["samples"])) ** 0.5)


def _gains(first: Row, second: Row, costs: str, scores: str) -> list[float]:
    """Points by which the first is better at ten costs that both curves span."""
    curves = [(numbers(row[costs]), numbers(row[scores])) for row in (first, second)]
    low = max(min(spent) for spent, _ in curves)
    high = min(max(spent) for spent, _ in curves)
    if low > high:
        return []
    at = np.linspace(low, high, 10)
    mine, theirs = (np.interp(at, *np.array(sorted(zip(*one, strict=True))).T) for one in curves)
    return [100 * float(gain) for gain in mine - theirs]


def counts(claims: Sequence[Claim]) -> Mapping[str, int]:
    """How many claims have each verdict."""
    return {one: sum(claim.verdict == one for claim in claims) for one in get_args(Verdict)}
