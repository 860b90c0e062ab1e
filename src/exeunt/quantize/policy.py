"""Policies over integer scores: what the C runtime decides, to the bit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from exeunt.policies import Conditions, Policy
from exeunt.quantize.scale import Scale

NEVER = 2**32 - 1
SHARPEST = 2**32 - 1  # a step of a score is far more than what can be told apart
SHARE_BITS = 16
ONE_BITS = 20
SOFTNESS_BITS = 24
HALVINGS = torch.tensor([round(2**ONE_BITS * 2 ** (-i / 256)) for i in range(256)])


@dataclass(frozen=True)
class IntegerPolicy:
    """When to leave; every condition that is set has to hold, none set means never.

    Attributes:
        patience: so many agreements with the exit before, in a row; 0 asks for none.
        confidence: least probability of the first class at each exit but the last, in 65536ths;
            None asks for none, `NEVER` never holds.
        margin: least distance of the first probability to the second, likewise.
        softness: of one step of a score in the exponent of 2, by exit, in 2**-24.
    """

    patience: int = 0
    confidence: tuple[int, ...] | None = None
    margin: tuple[int, ...] | None = None
    softness: tuple[int, ...] | None = None

    @classmethod
    def of(cls, policy: Policy, scales: Sequence[Scale]) -> IntegerPolicy:
        """The nearest to a policy, for scores of these scales, one for each exit.

        Raises:
            ExeuntError: for what integers cannot decide, naming it and what can be.
        """
        asked = Conditions.of(policy, len(scales))
        if not asked.thresholds:
            return cls(asked.patience)
        thresholds = {
            name: _integer_thresholds(values) for name, values in asked.thresholds.items()
        }
        softness = tuple(
            min(round(scale.scale / (t * math.log(2)) * 2**SOFTNESS_BITS), SHARPEST)
            for scale, t in zip(scales, asked.temperatures, strict=False)
        )
        return cls(asked.patience, thresholds.get("confidence"), thresholds.get("margin"), softness)

    def leave(self, scores: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """At which exit each image leaves, and with which class.

        Args:
            scores: of every exit, E tensors (N, K) of integers.

        Returns:
            Exit and class, each (N,).
        """
        count = len(scores[0])
        at = torch.full((count,), len(scores) - 1)
        inside = torch.ones(count, dtype=torch.bool)
        agreements = torch.zeros(count, dtype=torch.int64)
        before = torch.zeros(count, dtype=torch.int64)
        asked = self.patience > 0 or self.confidence is not None or self.margin is not None
        for k, mine in enumerate(scores[:-1]):
            best = first_largest(mine)
            agreements = torch.where(best == before, agreements + 1, 0) if k else agreements
            before = best
            if asked:
                leaves = inside & (agreements >= self.patience) & self._sure(k, mine, best)
                at[leaves] = k
                inside &= ~leaves
        classes = torch.stack([first_largest(mine) for mine in scores])
        return at, classes.gather(0, at[None])[0]

    def _sure(self, exit_index: int, scores: Tensor, best: Tensor) -> Tensor:
        sure = torch.ones(len(scores), dtype=torch.bool)
        if self.softness is None:
            return sure
        below = scores.gather(1, best[:, None]) - scores
        halvings = (below * self.softness[exit_index]) >> SHARE_BITS
        shares = torch.where(
            halvings >> 8 > ONE_BITS,
            0,
            HALVINGS[halvings & 255] >> (halvings >> 8).clamp(max=ONE_BITS),
        )
        total = shares.sum(1)
        others = shares.scatter(1, best[:, None], 0).amax(1)
        one = 1 << ONE_BITS
        if self.confidence is not None:
            sure &= one << SHARE_BITS >= self.confidence[exit_index] * total
        if self.margin is not None:
            sure &= (one - others) << SHARE_BITS >= self.margin[exit_index] * total
        return sure


def first_largest(scores: Tensor) -> Tensor:
    """The index of the largest of each row (N, K), the first of several that are equal."""
    least = scores.amax(1, keepdim=True) == scores
    return least.to(torch.int8).argmax(1)


def _integer_thresholds(values: Sequence[float]) -> tuple[int, ...]:
    return tuple(NEVER if v == math.inf else round(v * 2**SHARE_BITS) for v in values)
