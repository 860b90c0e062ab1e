"""The policies that a report lets its reader choose from, as rules that a page can follow."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from exeunt.errors import ExeuntError
from exeunt.evaluate import ExitTable, Outcome
from exeunt.policies import (
    Confidence,
    Consistency,
    Entropy,
    Every,
    Full,
    Margin,
    PerExit,
    Policy,
    ReadingPolicy,
    Threshold,
)

Rule: TypeAlias = dict[str, Any]
"""`{"reading": key, "sign": ">=" or "<=", "thresholds": one per exit but the last, None for never}`
or `{"agreements": K, "eta": X or None}`."""


@dataclass(frozen=True)
class PolicyChoice:
    """One policy of a family.

    Attributes:
        policy: The policy.
        shown: Its parameter, in words.
    """

    policy: Policy
    shown: str


@dataclass(frozen=True)
class Family:
    """Policies of one kind, in the order of a slider: from spending least to spending most.

    Attributes:
        name: Of the kind, in one word; none occurs twice in a report.
        title: What a reader sees.
        parameter: What the slider moves.
        note: What the policies do, in a sentence or two.
        settings: At least one.
    """

    name: str
    title: str
    parameter: str
    note: str
    settings: tuple[PolicyChoice, ...]

    def place(self, policy: Policy) -> int | None:
        """Which setting this policy is, if any."""
        specs = [setting.policy.spec for setting in self.settings]
        return specs.index(policy.spec) if policy.spec in specs else None


def families_of(
    table: ExitTable, stored: Policy, budgets: Sequence[Outcome] = ()
) -> tuple[Family, ...]:
    """What there is to choose from.

    Args:
        table: Of the samples that the report is about.
        stored: The policy of the weights; a family of its own unless it is in another.
        budgets: What policies that were solved for a mean cost reached on the samples they were
            solved on; none for no such family.
    """
    if table.task == "regression":
        families = _within(table, stored)
    else:
        families = [
            _sure(Confidence, _FRACTIONS, stored),
            _sure(Margin, _FRACTIONS, stored),
            _sure(Entropy, _nats(table.logits.shape[2]), stored),
            _agreeing(table.num_exits),
        ]
    if budgets:
        families.append(_budget(budgets))
    if all(family.place(stored) is None for family in families):
        note = "The policy that the weights carry, chosen on the calibration split."
        only = (PolicyChoice(stored, str(stored)),)
        families.append(Family("stored", "Stored", "Policy", note, only))
    return tuple(family for family in families if family.settings)


def rules_of(policy: Policy, num_exits: int) -> list[Rule] | None:
    """A policy as rules that must all hold for a sample to leave; None if nobody ever leaves.

    Raises:
        ExeuntError: The policy is none that a page knows how to follow.
    """
    if isinstance(policy, Full):
        return None
    parts = policy.parts if isinstance(policy, Every) else (policy,)
    return [_rule(part, num_exits) for part in parts]


def reading_key(policy: Threshold) -> str:
    """The name of what a policy compares; policies that compare the same numbers share it."""
    one = type(policy)(policy.never, policy.temperature)
    return one.spec.replace(f":{policy.never!r}", "")


def thresholds_in(policies: Iterable[Policy]) -> list[Threshold]:
    """All policies and parts of policies that compare a reading with a threshold."""
    parts = [
        part
        for policy in policies
        for part in (policy.parts if isinstance(policy, Every) else (policy,))
    ]
    return [part for part in parts if isinstance(part, Threshold)]


_FRACTIONS = [*(step / 100 for step in range(100)), 0.995, 0.999, 0.9999, 1.0]

_NOTES = {
    "confidence": "Leaves at the first exit whose largest softmax probability reaches the "
    "threshold.",
    "margin": "Leaves at the first exit whose two largest softmax probabilities are this far "
    "apart.",
    "entropy": "Leaves at the first exit whose softmax has at most this entropy.",
    "consistency": "Leaves once the predicted class has stayed the same this many times in a row.",
}


def _nats(classes: int) -> list[float]:
    """Thresholds of entropy from its largest value down to 0, in about a hundred round steps."""
    most = math.log(classes)
    step = 0.02 if most < 4 else 0.05
    steps = [round(step * count, 2) for count in range(math.ceil(most / step), 0, -1)]
    return [*steps, 0.01, 0.005, 0.002, 0.001, 0.0]


def _sure(kind: type[Threshold], thresholds: list[float], stored: Policy) -> Family:
    """One threshold for all exits, that of the stored policy among them."""
    if isinstance(stored, kind) and stored.temperature == 1 and isinstance(stored.threshold, float):
        thresholds = sorted({*thresholds, stored.threshold}, reverse=kind.sign == "<=")
    return Family(
        kind.name,
        kind.name.capitalize(),
        f"{kind.name.capitalize()} at {'least' if kind.sign == '>=' else 'most'}",
        _NOTES[kind.name],
        tuple(PolicyChoice(kind(value), f"{value:g}{kind.unit}") for value in thresholds),
    )


def _agreeing(num_exits: int) -> Family:
    return Family(
        "consistency",
        "Consistency",
        "Agreements in a row",
        _NOTES["consistency"],
        tuple(PolicyChoice(Consistency(k), str(k)) for k in range(1, num_exits)),
    )


def _within(table: ExitTable, stored: Policy) -> list[Family]:
    """For regression, one family for each number of agreements, over the tolerance eta."""
    spread = table.logits[-1].std(correction=0).item()
    etas = (
        {float(f"{spread * 2 ** (step / 5):.3g}") for step in range(-45, 8)} if spread > 0 else ()
    )
    families = []
    for k in range(1, table.num_exits):
        own = {stored.eta} if isinstance(stored, Consistency) and stored.k == k else set()
        values = sorted((eta for eta in {*etas, *own} if eta is not None), reverse=True)
        times = "once" if k == 1 else f"{k} times"
        row = "" if k == 1 else " in a row"
        families.append(
            Family(
                f"consistency-{k}",
                f"Agree {times}",
                "Within eta",
                f"Leaves once the value has moved by less than eta {times}{row}.",
                tuple(PolicyChoice(Consistency(k, eta), f"{eta:g}") for eta in values),
            )
        )
    return families


def _budget(budgets: Sequence[Outcome]) -> Family:
    ordered = {outcome.mean_macs: outcome for outcome in budgets}
    settings = [
        PolicyChoice(outcome.policy, f"{outcome.mean_macs / 1e6:.4g} M multiply-adds")
        for _, outcome in sorted(ordered.items())
    ]
    note = (
        "A threshold for each exit, solved on the calibration split for this mean cost there; "
        "what it costs here is measured."
    )
    return Family("budget", "Budget", "Mean cost to aim at", note, tuple(settings))


def _rule(part: Policy, num_exits: int) -> Rule:
    if isinstance(part, Consistency):
        return {"agreements": part.k, "eta": part.eta}
    if isinstance(part, Threshold):
        thresholds = _each(part.threshold, num_exits - 1, part.never)
        return {
            "reading": reading_key(part),
            "sign": part.sign,
            "thresholds": [None if value == part.never else value for value in thresholds],
        }
    kind = "combined with another" if isinstance(part, ReadingPolicy) else "not of this package"
    raise ExeuntError(f"policy {part.spec!r} is {kind}: a report cannot follow it")


def _each(values: PerExit, count: int, otherwise: float) -> list[float]:
    if not isinstance(values, tuple):
        return [values] * count
    return [*values[:count], *[otherwise] * (count - len(values))]
