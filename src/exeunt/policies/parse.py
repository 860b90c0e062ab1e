"""Policies in one word, as weights files and command lines hold them."""

from __future__ import annotations

import re

from exeunt.errors import ExeuntError, nearest
from exeunt.policies.consistency import Consistency
from exeunt.policies.every import Every
from exeunt.policies.policy import Full, Policy, ReadingPolicy
from exeunt.policies.thresholds import Confidence, Entropy, Margin, PerExit, Threshold

POLICY_FORMS = (
    "full, confidence:T, margin:T, entropy:T, consistency:K, consistency:K,eta=X; T may be one "
    "number for each exit, 0.9/0.8/inf, and be followed by ,t=TEMPERATURE; joined with +, all must "
    "agree: consistency:1+confidence:0.8"
)

_THRESHOLDS: dict[str, type[Threshold]] = {
    kind.name: kind for kind in (Confidence, Margin, Entropy)
}


def parse_policy(text: str) -> Policy:
    """Reads a policy from the text that its `spec` gives, such as `consistency:2`.

    Raises:
        ExeuntError: The text is none of the valid forms, or a parameter is out of range.
    """
    if text == "full":
        return Full()
    try:
        parts = [_parse_one(part) for part in re.split(r"\+(?=[a-z]+:)", text)]
        return parts[0] if len(parts) == 1 else Every(tuple(parts))
    except ValueError as error:
        raise ExeuntError(f"policy {text!r}: {error}; valid forms: {POLICY_FORMS}") from None
    except KeyError as error:
        near = nearest(error.args[0], ["full", "consistency", *_THRESHOLDS])
        guess = f"did you mean {' or '.join(near)}? " if near else ""
        raise ExeuntError(
            f"policy {text!r} is not known; {guess}valid forms: {POLICY_FORMS}"
        ) from None


def _parse_one(text: str) -> ReadingPolicy:
    """One part; KeyError for a name that is none, ValueError for a number that is none."""
    name, _, parameters = text.partition(":")
    if name == "consistency":
        k, comma, eta = parameters.partition(",eta=")
        return Consistency(int(k), float(eta) if comma else None)
    threshold, comma, temperature = parameters.partition(",t=")
    return _THRESHOLDS[name](_numbers(threshold), _numbers(temperature) if comma else 1.0)


def _numbers(text: str) -> PerExit:
    numbers = tuple(float(part) for part in text.split("/"))
    return numbers if len(numbers) > 1 else numbers[0]


def as_policy(policy: str | Policy) -> Policy:
    """A policy that is given as an object or as its spec.

    Raises:
        ExeuntError: as `parse_policy`.
    """
    return parse_policy(policy) if isinstance(policy, str) else policy
