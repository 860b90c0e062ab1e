"""Policies in one word, as weights files and command lines hold them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, TypeVar, overload

from exeunt.errors import ExeuntError, nearest
from exeunt.policies.consistency import Consistency
from exeunt.policies.every import Every
from exeunt.policies.policy import Full, Policy, expect_policy
from exeunt.policies.thresholds import Confidence, Entropy, Margin, PerExit, Threshold
from exeunt.registry import Registry, registering

Maker = TypeVar("Maker", bound=Callable[..., Policy])

POLICY_FORMS = (
    "full, confidence:T, margin:T, entropy:T, consistency:K, consistency:K,eta=X; T may be one "
    "number for each exit, 0.9/0.8/inf, and be followed by ,t=TEMPERATURE; joined with +, all must "
    "agree: consistency:1+confidence:0.8"
)

POLICIES: Registry[Callable[..., Policy]] = Registry("policy")


@overload
def register_policy(maker: Maker, *, name: str | None = None) -> Maker: ...
@overload
def register_policy(maker: None = None, *, name: str | None = None) -> Callable[[Maker], Maker]: ...
def register_policy(maker: Any = None, *, name: str | None = None) -> Any:
    """Makes a policy known under its function's or class's name, or under `name`, so that it can be
    written in one word. Usable as a decorator.

    `mine:0.3,7,low=2` calls `mine(0.3, 7, low=2)`, `mine` calls `mine()`; several numbers with `/`
    between are a tuple. The policy's `spec` must be such a word that makes the same policy anew.
    `exeunt.check_policy` tests it.

    Raises:
        ExeuntError: when the name is taken or is none.
    """
    return registering(POLICIES, maker, name)


def _threshold(kind: type[Threshold]) -> Callable[..., Policy]:
    """How a word makes a policy with a threshold."""

    def made(threshold: PerExit, t: PerExit = 1.0) -> Policy:
        return kind(threshold, t)

    return made


for _kind in (Confidence, Margin, Entropy):
    POLICIES.add(_kind.name, _threshold(_kind))
POLICIES.add("consistency", Consistency)
POLICIES.add("full", Full)


def parse_policy(text: str) -> Policy:
    """Reads a policy from the text that its `spec` gives, such as `consistency:2`.

    Raises:
        ExeuntError: The text is none of the valid forms, or a parameter is out of range.
    """
    try:
        parts = [_parse_one(part) for part in re.split(r"\+(?=[A-Za-z_][\w-]*:)", text)]
        return parts[0] if len(parts) == 1 else Every(tuple(parts))  # type: ignore[arg-type]
    except ValueError as error:
        raise ExeuntError(f"policy {text!r}: {error}; valid forms: {_forms()}") from None
    except KeyError as error:
        near = nearest(error.args[0], POLICIES)
        guess = f"did you mean {' or '.join(near)}? " if near else ""
        raise ExeuntError(f"policy {text!r} is not known; {guess}valid forms: {_forms()}") from None


def _parse_one(text: str) -> Policy:
    """One part; KeyError for a name that is none, ValueError for a number that is none."""
    name, colon, parameters = text.partition(":")
    maker = POLICIES[name]
    numbers: list[Any] = []
    named: dict[str, Any] = {}
    for part in parameters.split(",") if colon else ():
        key, equals, value = part.partition("=")
        if equals:
            named[key] = _numbers(value)
        elif named:
            raise ValueError(f"{part!r} stands behind a parameter with a name")
        else:
            numbers.append(_numbers(part))
    try:
        inspect.signature(maker).bind(*numbers, **named)
    except TypeError as error:
        raise ValueError(str(error)) from None
    policy = maker(*numbers, **named)
    expect_policy(name, policy)
    if policy.spec.partition(":")[0] != name:
        raise ValueError(f"its spec is {policy.spec!r}, which does not begin with its name")
    return policy


def _numbers(text: str) -> int | PerExit:
    """Numbers with / between: a tuple if there are several; whole ones stay whole if alone."""
    if len(text) < 20 and text.removeprefix("-").isdecimal():
        return int(text)
    numbers = tuple(float(part) for part in text.split("/"))
    return numbers if len(numbers) > 1 else numbers[0]


def _forms() -> str:
    own = [f"{name}:..." for name in POLICIES.own()]
    return "; ".join([POLICY_FORMS, *own, "`exeunt --import MODULE ...` adds your own"])


def as_policy(policy: str | Policy) -> Policy:
    """A policy that is given as an object or as its spec.

    Raises:
        ExeuntError: as `parse_policy`.
    """
    return parse_policy(policy) if isinstance(policy, str) else policy
