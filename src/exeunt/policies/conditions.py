"""Policies as conditions that must hold together, for runtimes that know no more than these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from exeunt.errors import ExeuntError
from exeunt.policies.consistency import Consistency
from exeunt.policies.every import Every
from exeunt.policies.policy import Full, Policy
from exeunt.policies.thresholds import Confidence, Margin, PerExit


@dataclass(frozen=True)
class Conditions:
    """When to leave; none set means never.

    Attributes:
        patience: so many agreements with the exit before, in a row; 0 asks for none.
        thresholds: "confidence" and "margin" at each exit but the last, where they are asked for;
            `math.inf` never holds.
        temperatures: that logits are divided by at those exits.
    """

    patience: int
    thresholds: Mapping[str, tuple[float, ...]]
    temperatures: tuple[float, ...]

    @classmethod
    def of(cls, policy: Policy, exits: int) -> Conditions:
        """What a policy asks for, over a net of so many exits.

        Raises:
            ExeuntError: for what is none of these conditions, naming it and what can be.
        """
        early = exits - 1
        patience, thresholds = 0, dict[str, tuple[float, ...]]()
        temperatures = set[tuple[float, ...]]()
        for part in policy.parts if isinstance(policy, Every) else (policy,):
            if isinstance(part, Consistency) and part.eta is None:
                patience = max(patience, part.k)
            elif isinstance(part, (Confidence, Margin)) and early:
                mine = _each(part.threshold, early, part.never)
                known = thresholds.get(part.name, mine)
                thresholds[part.name] = tuple(map(max, known, mine))
                temperatures.add(_each(part.temperature, early, 1.0))
            elif not isinstance(part, (Confidence, Margin, Full)):
                raise ExeuntError(
                    f"policy {policy.spec!r}: a device decides confidence, margin, consistency of "
                    f"classes, several of them with +, and full; not {part.spec!r}"
                )
        if len(temperatures) > 1:
            raise ExeuntError(f"policy {policy.spec!r}: give its parts the same temperatures")
        return cls(patience, thresholds, temperatures.pop() if temperatures else (1.0,) * early)


def _each(values: PerExit, count: int, otherwise: float) -> tuple[float, ...]:
    if not isinstance(values, tuple):
        return (values,) * count
    return (*values, *(otherwise,) * count)[:count]
