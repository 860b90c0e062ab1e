"""How far a share that was counted may be from the true one."""

from __future__ import annotations

import math
from statistics import NormalDist

from exeunt.errors import ExeuntError


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
    if not 0 < level < 1:
        raise ExeuntError(f"level must lie between 0 and 1, not at {level}")
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = successes / samples
    centre = share + z * z / (2 * samples)
    reach = z * math.sqrt(share * (1 - share) / samples + z * z / (4 * samples * samples))
    widest = 1 + z * z / samples
    return max(0.0, (centre - reach) / widest), min(1.0, (centre + reach) / widest)
