"""Policies as conditions that must hold together, for runtimes that know no more than these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from exeunt.errors import ExeuntError
from exeunt.policies.consistency import Consistency
from exeunt.policies.every import Every
from exeunt.policies.policy import Full, Policy
from exeunt.policies.thresholds import Confidence, Entropy, Margin, PerExit

_UNITS = {
    "confidence": "probability, 0 to 1",
    "margin": "difference of two probabilities, 0 to 1",
    "entropy": "nats",
}
_TIGHTER = {">=": max, "<=": min}


@dataclass(frozen=True)
class Conditions:
    """When to leave; none set means never.

    Attributes:
        patience: so many agreements with the exit before, in a row; 0 asks for none.
        thresholds: "confidence", "margin" and "entropy" at each exit but the last, where they are
            asked for; `math.inf` never holds, for entropy `-math.inf`.
        temperatures: that logits are divided by at those exits.
        eta: below which two values of a regression agree; None where exits agree on a class.
    """

    patience: int
    thresholds: Mapping[str, tuple[float, ...]]
    temperatures: tuple[float, ...]
    eta: float | None = None

    @property
    def units(self) -> dict[str, str]:
        """What each number that is asked for is counted in, by its name in the policy."""
        asked = {name: _UNITS[name] for name in self.thresholds}
        if self.patience:
            asked["consistency"] = "agreements in a row with the exit before"
        if self.eta is not None:
            asked["eta"] = "the value's own"
        return asked

    @classmethod
    def of(cls, policy: Policy, exits: int) -> Conditions:
        """What a policy asks for, over a net of so many exits.

        Raises:
            ExeuntError: for what is none of these conditions, naming it and what can be.
        """
        early = exits - 1
        patience, thresholds = 0, dict[str, tuple[float, ...]]()
        temperatures, tolerances = set[tuple[float, ...]](), set[float]()
        for part in policy.parts if isinstance(policy, Every) else (policy,):
            if isinstance(part, Consistency):
                patience = max(patience, part.k)
                tolerances |= set() if part.eta is None else {part.eta}
            elif isinstance(part, (Confidence, Margin, Entropy)):
                if early:
                    mine = _each(part.threshold, early, part.never)
                    known = thresholds.get(part.name, mine)
                    thresholds[part.name] = tuple(map(_TIGHTER[part.sign], known, mine))
                    temperatures.add(_each(part.temperature, early, 1.0))
            elif not isinstance(part, Full):
                raise ExeuntError(
                    f"policy {policy.spec!r}: a device decides confidence, margin, entropy, "
                    f"consistency, several of them with +, and full; not {part.spec!r}"
                )
        if len(temperatures) > 1:
            raise ExeuntError(f"policy {policy.spec!r}: give its parts the same temperatures")
        if len(tolerances) > 1:
            raise ExeuntError(
                f"policy {policy.spec!r}: a device counts agreements within one eta, not "
                f"{' and '.join(f'{eta:g}' for eta in sorted(tolerances))}"
            )
        return cls(
            patience,
            thresholds,
            temperatures.pop() if temperatures else (1.0,) * early,
            tolerances.pop() if tolerances else None,
        )


def _each(values: PerExit, count: int, otherwise: float) -> tuple[float, ...]:
    if not isinstance(values, tuple):
        return (values,) * count
    return (*values, *(otherwise,) * count)[:count]
