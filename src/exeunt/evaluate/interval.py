"""How far a share that was counted, or a mean, may be from the true one."""

from __future__ import annotations

import math
from statistics import NormalDist

import torch
from torch import Tensor

from exeunt.errors import ExeuntError
from exeunt.evaluate.replay import Outcome
from exeunt.evaluate.scores import sample_scores
from exeunt.evaluate.table import ExitTable


def wilson(successes: int, samples: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson, JASA 1927): the shares, 0 to 1, from which a
    count as far off as this one is not surprising.

    Args:
        successes: How many of the samples, at least 0.
        samples: N, at least 1.
        level: How often such an interval covers the true share, between 0 and 1.

    Raises:
        ExeuntError: The counts do not fit each other, or the level is out of its range.
    """
    if not 0 <= successes <= samples or samples < 1:
        raise ExeuntError(f"{successes} of {samples} samples is no share")
    _check_level(level)
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = successes / samples
    centre = share + z * z / (2 * samples)
    reach = z * math.sqrt(share * (1 - share) / samples + z * z / (4 * samples * samples))
    widest = 1 + z * z / samples
    return max(0.0, (centre - reach) / widest), min(1.0, (centre + reach) / widest)


def paired(won: int, lost: int, samples: int, level: float = 0.95) -> tuple[float, float]:
    """The interval of a difference between two shares of the same samples: Wald's, with one sample
    added to the won and one to the lost (Bonett and Price, J. Educ. Behav. Stat. 2012).

    Unlike a bootstrap it does not shrink to a point where no sample tells the two apart.

    Args:
        won: Samples that count in the first share alone.
        lost: Samples that count in the second share alone.
        samples: N, with those that count in both or in neither, at least 1.
        level: How often such an interval covers the true difference, between 0 and 1.

    Raises:
        ExeuntError: The counts do not fit each other, or the level is out of its range.
    """
    if min(won, lost) < 0 or won + lost > samples or samples < 1:
        raise ExeuntError(f"{won} won and {lost} lost of {samples} samples are no shares")
    _check_level(level)
    gains, losses = (won + 1) / (samples + 2), (lost + 1) / (samples + 2)
    spread = math.sqrt((gains + losses - (gains - losses) ** 2) / (samples + 2))
    reach = NormalDist().inv_cdf((1 + level) / 2) * spread
    return max(-1.0, gains - losses - reach), min(1.0, gains - losses + reach)


def bootstrap(
    values: Tensor, level: float = 0.95, draws: int = 1000, seed: int = 0
) -> list[tuple[float, float]]:
    """Percentile intervals of the means of columns (Efron, Annals of Statistics 1979).

    Rows are drawn with replacement, the same for all columns: what is paired in a row stays so. The
    interval of a difference between two columns is therefore that of a column of differences.

    Args:
        values: One row for each sample (N C).
        level: Share of the drawn means that lie inside, between 0 and 1.
        draws: How often N rows are drawn.
        seed: The same seed gives the same intervals.

    Returns:
        The low and the high end for each column (C).

    Raises:
        ExeuntError: There are no rows, or the level or the draws are out of their range.
    """
    _check_level(level)
    if values.ndim != 2 or 0 in values.shape:
        raise ExeuntError(f"values must be (N C) and not empty, got {tuple(values.shape)}")
    if draws < 1:
        raise ExeuntError(f"draws must be a whole number >= 1, got {draws}")
    values, samples = values.double(), len(values)
    generator = torch.Generator().manual_seed(seed)
    means = torch.empty(draws, values.shape[1], dtype=torch.float64)
    for draw in means:
        rows = torch.randint(samples, (samples,), generator=generator)
        draw.copy_(rows.bincount(minlength=samples).double() @ values / samples)
    ends = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = means.quantile(ends, dim=0).tolist()
    return list(zip(low, high, strict=True))


def score_interval(
    table: ExitTable, exit_index: int | Tensor, level: float = 0.95
) -> tuple[float, float]:
    """The interval of the accuracy (Wilson) or mean absolute error (bootstrap) of a table.

    Args:
        table: Of either task.
        exit_index: The exit that all samples take, or that each takes (N,), counted from 0.
        level: How sure the interval is to hold the true score, between 0 and 1.

    Raises:
        ExeuntError: The level is out of its range.
    """
    scores = sample_scores(table, exit_index)
    if table.task == "classification":
        return wilson(int(scores.sum()), len(table), level)
    (ends,) = bootstrap(scores[:, None], level)
    return ends


def difference_interval(
    table: ExitTable, outcome: Outcome, other: Outcome, level: float = 0.95
) -> tuple[float, float]:
    """The interval of how much larger the accuracy (or mean absolute error) of `outcome` is than
    that of `other`, of the same table: a paired bootstrap, since they saw the same samples.

    Raises:
        ExeuntError: The level is out of its range.
    """
    larger = sample_scores(table, outcome.exit_index) - sample_scores(table, other.exit_index)
    (ends,) = bootstrap(larger[:, None], level)
    return ends


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ExeuntError(f"level must lie between 0 and 1, not at {level}")
