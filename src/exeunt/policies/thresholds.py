"""Policies that leave when one exit is sure enough on its own."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from torch import Tensor

from exeunt.errors import ExeuntError
from exeunt.policies.policy import Memory, ReadingPolicy
from exeunt.policies.readings import Nats, ProbabilityGap, Reading, TopProbability

PerExit: TypeAlias = float | tuple[float, ...]
"""One number for all exits, or one for each exit but the last."""


@dataclass(frozen=True)
class Threshold(ReadingPolicy):
    """Compares one reading with a threshold.

    Attributes:
        threshold: One for all exits, or one for each exit but the last; nobody leaves where it is
            `never`, nor at exits for which a tuple has none.
        temperature: That logits are divided by before the softmax, likewise; 1 where there is none.

    Raises:
        ExeuntError: A number is out of its range.
    """

    threshold: PerExit
    temperature: PerExit = 1.0

    name: ClassVar[str]
    sign: ClassVar[str]
    never: ClassVar[float] = math.inf
    unit: ClassVar[str] = ""
    valid: ClassVar[str] = "in 0..1"

    def __post_init__(self) -> None:
        for value in _each(self.threshold):
            if not (self.is_valid(value) or value == self.never):
                raise ExeuntError(f"{self.name} threshold must be {self.valid}, got {value}")
        for value in _each(self.temperature):
            if not 0 < value < math.inf:
                raise ExeuntError(f"temperature must be a finite number > 0, got {value}")

    @staticmethod
    def is_valid(threshold: float) -> bool:
        """Whether a threshold makes sense: probabilities lie between 0 and 1."""
        return 0 <= threshold <= 1

    @property
    def spec(self) -> str:
        softened = "" if self.temperature == 1 else f",t={_spell(self.temperature)}"
        return f"{self.name}:{_spell(self.threshold)}{softened}"

    def __str__(self) -> str:
        shown = " ".join("never" if v == self.never else f"{v:.4g}" for v in _each(self.threshold))
        if isinstance(self.threshold, tuple):
            shown += " at the exits"
        softened = "" if self.temperature == 1 else " (calibrated)"
        return f"{self.name}{softened} {self.sign} {shown}{self.unit}"

    @staticmethod
    @abstractmethod
    def reading(temperature: float) -> Reading:
        """What is compared."""

    def readings(self, exit_index: int) -> tuple[Reading, ...]:
        return (self.reading(_at(self.temperature, exit_index, 1.0)),)

    def decide(
        self, exit_index: int, values: tuple[Tensor, ...], memory: Memory
    ) -> tuple[Tensor, Memory]:
        (value,) = values
        threshold = _at(self.threshold, exit_index, self.never)
        return (value >= threshold if self.sign == ">=" else value <= threshold), memory


@dataclass(frozen=True)
class Confidence(Threshold):
    """Leaves when the largest softmax probability is at least `threshold` (0 to 1).

    The criterion of MSDNet (Huang et al., ICLR 2018) and of SDN (Kaya et al., ICML 2019). It is
    compared in float32, whatever the logits are stored in.
    """

    name = "confidence"
    sign = ">="
    reading = TopProbability


@dataclass(frozen=True)
class Margin(Threshold):
    """Leaves when the two largest softmax probabilities are at least `threshold` apart (0 to 1)."""

    name = "margin"
    sign = ">="
    reading = ProbabilityGap


@dataclass(frozen=True)
class Entropy(Threshold):
    """Leaves when the entropy of the softmax, `-sum p ln p`, is at most `threshold` (nats).

    The criterion of BranchyNet (Teerapittayanon et al., ICPR 2016). K classes have at most ln K
    nats. It is compared in float32, whatever the logits are stored in.
    """

    name = "entropy"
    sign = "<="
    never = -math.inf
    unit = " nats"
    valid = "a finite number >= 0 (nats)"
    reading = Nats

    @staticmethod
    def is_valid(threshold: float) -> bool:
        """Whether a threshold makes sense: nats are not negative."""
        return 0 <= threshold < math.inf


def _each(values: PerExit) -> tuple[float, ...]:
    return values if isinstance(values, tuple) else (values,)


def _at(values: PerExit, exit_index: int, otherwise: float) -> float:
    if not isinstance(values, tuple):
        return values
    return values[exit_index] if exit_index < len(values) else otherwise


def _spell(values: PerExit) -> str:
    return "/".join(repr(float(value)) for value in _each(values))
