"""Criteria by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from exeunt.policies import Confidence, Consistency, Entropy, Margin, Threshold

Criterion: TypeAlias = type[Threshold] | type[Consistency]


@dataclass(frozen=True)
class Named:
    """What `optimised_policy`, `guaranteed_policy` and `choose_policy` take."""

    criterion: Criterion
    patient: bool = False


CRITERIA = {
    "confidence": Named(Confidence),
    "margin": Named(Margin),
    "entropy": Named(Entropy),
    "consistency": Named(Consistency),
    "patient": Named(Confidence, patient=True),
}
