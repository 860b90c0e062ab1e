"""Exact statements about a share that was counted."""

from __future__ import annotations

import math


def at_most(count: int, samples: int, share: float) -> float:
    """The probability of `count` successes or fewer among `samples`, each with probability `share`.

    Terms are added from their logarithms, so none overflows.

    Args:
        count: From 0 to `samples`.
        samples: N, at least 1.
        share: Between 0 and 1, both excluded.
    """
    ways = math.lgamma(samples + 1)
    terms = (
        math.exp(
            ways
            - math.lgamma(i + 1)
            - math.lgamma(samples - i + 1)
            + i * math.log(share)
            + (samples - i) * math.log1p(-share)
        )
        for i in range(count + 1)
    )
    return min(1.0, math.fsum(terms))


def least_share(samples: int, probability: float) -> float:
    """The least share that so many samples, without one success, show to be larger than theirs
    with this probability: about 0.00997 for 299 and 0.95.
    """
    return -math.expm1(math.log1p(-probability) / samples)


def samples_needed(share: float, probability: float) -> int:
    """The fewest samples that, without one success, show a share below `share` with this
    probability: 299 for 0.01 and 0.95.
    """
    return math.ceil(math.log1p(-probability) / math.log1p(-share))
