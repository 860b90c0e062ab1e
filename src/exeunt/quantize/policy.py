"""Policies over integer scores: what the C runtime decides, to the bit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from exeunt.policies import Conditions, Policy
from exeunt.quantize.halvings import HALVINGS, ONE_BITS
from exeunt.quantize.scale import Scale

NEVER = 2**32 - 1
NEVER_CERTAIN = 0
SHARPEST = 2**32 - 1  # a step of a score is far more than what can be told apart
SHARE_BITS = 16
SOFTNESS_BITS = 24
WORTH_BITS = 30
LARGEST_TOLERANCE = 2**62


@dataclass(frozen=True)
class IntegerPolicy:
    """When to leave; every condition that is set has to hold, none set means never.

    Attributes:
        patience: so many agreements with the exit before, in a row; 0 asks for none.
        confidence: least probability of the first class at each exit but the last, in 65536ths;
            None asks for none, `NEVER` never holds.
        margin: least distance of the first probability to the second, likewise.
        softness: of one step of a score in the exponent of 2, by exit, in 2**-24.
        perplexity: most exp(entropy) at each exit but the last, in 65536ths; None asks for none,
            `NEVER_CERTAIN` never holds.
        worths: what a step of the value of a regression is worth, by exit, in a unit that all
            exits share; None where exits agree on the class.
        tolerance: in that unit, below which two values agree; 0 where there are no worths.
    """

    patience: int = 0
    confidence: tuple[int, ...] | None = None
    margin: tuple[int, ...] | None = None
    softness: tuple[int, ...] | None = None
    perplexity: tuple[int, ...] | None = None
    worths: tuple[int, ...] | None = None
    tolerance: int = 0

    @classmethod
    def of(cls, policy: Policy, scales: Sequence[Scale]) -> IntegerPolicy:
        """The nearest to a policy, for scores of these scales, one for each exit.

        Raises:
            ExeuntError: for what integers cannot decide, naming it and what can be.
        """
        asked = Conditions.of(policy, len(scales))
        if asked.eta is not None:
            unit = max(scale.scale for scale in scales) / 2**WORTH_BITS
            worths = tuple(max(1, round(scale.scale / unit)) for scale in scales)
            tolerance = min(max(1, round(min(asked.eta / unit, 2.0**62))), LARGEST_TOLERANCE)
            return cls(asked.patience, worths=worths, tolerance=tolerance)
        if not asked.thresholds:
            return cls(asked.patience)
        thresholds = {
            name: (_perplexities if name == "entropy" else _integer_thresholds)(values)
            for name, values in asked.thresholds.items()
        }
        softness = tuple(
            min(round(scale.scale / (t * math.log(2)) * 2**SOFTNESS_BITS), SHARPEST)
            for scale, t in zip(scales, asked.temperatures, strict=False)
        )
        return cls(
            asked.patience,
            thresholds.get("confidence"),
            thresholds.get("margin"),
            softness,
            thresholds.get("entropy"),
        )

    def leave(self, scores: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """At which exit each image leaves, and with which class.

        Args:
            scores: of every exit, E tensors (N, K) of integers.

        Returns:
            Exit and class, each (N,); the class of a regression is 0.
        """
        count = len(scores[0])
        at = torch.full((count,), len(scores) - 1)
        inside = torch.ones(count, dtype=torch.bool)
        agreements = torch.zeros(count, dtype=torch.int64)
        before = torch.zeros(count, dtype=torch.int64)
        asked = self.patience > 0 or self.softness is not None
        for k, mine in enumerate(scores[:-1]):
            best = first_largest(mine)
            said = best if self.worths is None else mine[:, 0].long() * self.worths[k]
            agreements = torch.where(self._agree(said, before), agreements + 1, 0 * agreements)
            agreements = agreements if k else 0 * agreements
            before = said
            if asked:
                leaves = inside & (agreements >= self.patience) & self._sure(k, mine, best)
                at[leaves] = k
                inside &= ~leaves
        classes = torch.stack([first_largest(mine) for mine in scores])
        return at, classes.gather(0, at[None])[0]

    def _agree(self, said: Tensor, before: Tensor) -> Tensor:
        return said == before if self.worths is None else (said - before).abs() < self.tolerance

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
        if self.perplexity is not None:
            bits = ((shares * halvings).sum(1) << 8) // total
            sure &= total << SHARE_BITS <= _halved(self.perplexity[exit_index], bits)
        return sure


def first_largest(scores: Tensor) -> Tensor:
    """The index of the largest of each row (N, K), the first of several that are equal."""
    least = scores.amax(1, keepdim=True) == scores
    return least.to(torch.int8).argmax(1)


def _halved(most: int, bits: Tensor) -> Tensor:
    """`most` times 2**-bits, 2**20 being 1, of bits (N,) in 65536ths; straight lines between the
    entries of `HALVINGS`.
    """
    entries = torch.cat([HALVINGS, torch.tensor([1 << (ONE_BITS - 1)])])
    at, rest = bits >> 8 & 255, bits & 255
    here, following = entries[at], entries[at + 1]
    return most * (here - ((here - following) * rest >> 8)) >> (bits >> 16)


def _perplexities(nats: Sequence[float]) -> tuple[int, ...]:
    most = math.log((2**32 - 1) / 2**SHARE_BITS)
    return tuple(
        NEVER_CERTAIN if v < 0 else round(math.exp(min(v, most)) * 2**SHARE_BITS) for v in nats
    )


def _integer_thresholds(values: Sequence[float]) -> tuple[int, ...]:
    return tuple(NEVER if v == math.inf else round(v * 2**SHARE_BITS) for v in values)
