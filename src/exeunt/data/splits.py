"""The three named splits. Thresholds are chosen on calibration, never on train or test."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from exeunt.data.source import Sample, Source, by_name
from exeunt.errors import ExeuntError

SPLIT_NAMES = ("train", "calibration", "test")


@dataclass(frozen=True)
class SplitSpec:
    """How to divide a source; the same spec always gives the same splits.

    Attributes:
        seed: Picks one of the possible divisions; at least 0.
        calibration_fraction: Share of the train pool that is held out for calibration.
        test_fraction: Share that is held out for testing if the source has no test pool.
        limit: Use at most so many images of the train pool (before calibration is held out) and
            as many of the test pool.

    Raises:
        ExeuntError: If a value is out of its range.
    """

    seed: int = 0
    calibration_fraction: float = 0.15
    test_fraction: float = 0.15
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ExeuntError(f"seed must be at least 0, not {self.seed}")
        for name in ("calibration_fraction", "test_fraction"):
            value = getattr(self, name)
            if not 0 < value < 1:
                raise ExeuntError(f"{name} must lie between 0 and 1, not at {value}")
        if self.limit is not None and self.limit < 1:
            raise ExeuntError(f"limit must be at least 1 image, not {self.limit}")


@dataclass(frozen=True)
class Splits:
    """Disjoint samples to train, calibrate and test on, each sorted by name."""

    train: tuple[Sample, ...]
    calibration: tuple[Sample, ...]
    test: tuple[Sample, ...]

    def __getitem__(self, name: str) -> tuple[Sample, ...]:
        """The split called `name`.

        Raises:
            ExeuntError: If there is no such split.
        """
        if name not in SPLIT_NAMES:
            raise ExeuntError(f"no split {name!r}; the splits are {', '.join(SPLIT_NAMES)}")
        split: tuple[Sample, ...] = getattr(self, name)
        return split


def make_splits(source: Source, spec: SplitSpec) -> Splits:
    """Divide `source` into train, calibration and test.

    Samples are ranked within their class by a hash of (seed, name), and the first of each class
    are held out: file order, platform and the other classes play no part. For regression, deciles
    of the value stand in for classes.

    Raises:
        ExeuntError: If a class has too few images to be in every split. Classes of which a pool has
            none at all are let be.
    """
    if "all" in source.pools:
        pool = source.pools["all"]
        _require(source, pool, 3, "train, calibration and test", pool)
        test, train = _hold_out(pool, spec.test_fraction, spec.seed, "test", keep=2)
    else:
        train, test = source.pools["train"], source.pools["test"]
    pools = train, test
    if spec.limit is not None:
        train = take(train, spec.limit, spec.seed, at_least=2)
        test = take(test, spec.limit, spec.seed)
    limited = "" if spec.limit is None else f" with limit {spec.limit}"
    _require(source, train, 2, f"train and calibration{limited}", pools[0])
    _require(source, test, 1, f"test{limited}", pools[1])
    calibration, train = _hold_out(
        train, spec.calibration_fraction, spec.seed, "calibration", keep=1
    )
    return Splits(train, calibration, test)


def take(
    samples: Sequence[Sample], n: int, seed: int = 0, *, at_least: int = 1
) -> tuple[Sample, ...]:
    """Pick at most `n` samples, seeded, every class with the share it has in `samples`.

    Shares are rounded by the method of Webster and Sainte-Laguë, so a larger `n` only adds to
    what a smaller one picks.

    Args:
        samples: What to pick from, in any order.
        n: How many to pick, at least 1.
        seed: Which of the possible picks.
        at_least: How many of each class come before shares count, as far as `n` reaches.

    Returns:
        The picked samples, sorted by name.

    Raises:
        ExeuntError: If `n` is below 1.
    """
    if n < 1:
        raise ExeuntError(f"the number of images to take must be at least 1, not {n}")
    queue = [
        (min(rank, at_least), (2 * rank + 1) / len(stratum), _key(seed, "take", sample), sample)
        for stratum in _strata(samples)
        for rank, sample in enumerate(_ranked(stratum, seed, "take"))
    ]
    queue.sort(key=lambda entry: entry[:3])
    return by_name([sample for *_, sample in queue[:n]])


def _hold_out(
    samples: Sequence[Sample], fraction: float, seed: int, purpose: str, keep: int
) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """Hold out `fraction` of each stratum, at least one sample, but leave `keep` behind."""
    held: list[Sample] = []
    rest: list[Sample] = []
    for stratum in _strata(samples):
        count = min(max(1, round(fraction * len(stratum))), len(stratum) - keep)
        ranked = _ranked(stratum, seed, purpose)
        held += ranked[:count]
        rest += ranked[count:]
    return by_name(held), by_name(rest)


def _strata(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Group by class; by decile of the value for regression (by less if images are few)."""
    if any(isinstance(sample.target, float) for sample in samples):
        ordered = sorted(samples, key=lambda sample: (sample.target, sample.name))
        bins = max(1, min(10, len(ordered) // 8))
        edges = [len(ordered) * i // bins for i in range(bins + 1)]
        return [ordered[lo:hi] for lo, hi in pairwise(edges)]
    classes: dict[int | float, list[Sample]] = {}
    for sample in samples:
        classes.setdefault(sample.target, []).append(sample)
    return list(classes.values())


def _ranked(samples: Sequence[Sample], seed: int, purpose: str) -> list[Sample]:
    return sorted(samples, key=lambda sample: _key(seed, purpose, sample))


def _key(seed: int, purpose: str, sample: Sample) -> bytes:
    text = f"{seed}\0{purpose}\0{sample.name}".encode("utf-8", "surrogateescape")
    return hashlib.blake2b(text, digest_size=16).digest()


def _require(
    source: Source, samples: Sequence[Sample], need: int, what: str, pool: Sequence[Sample]
) -> None:
    """Raise unless `samples` have `need` images, and for classes so many of each in `pool`."""
    counts = Counter(sample.target for sample in samples)
    met = {sample.target for sample in pool} if source.task == "classification" else set()
    for target in sorted(met):
        if counts[target] < need:
            raise ExeuntError(
                f"{source.root}: class {source.class_names[int(target)]!r} has {counts[target]} "
                f"image(s), but {what} need at least {need} of every class"
            )
    if len(samples) < need:
        raise ExeuntError(
            f"{source.root}: {len(samples)} image(s), but {what} need at least {need}"
        )
