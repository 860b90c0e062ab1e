"""Exit policies in standard ONNX operators, for one image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from exeunt.errors import ExeuntError
from exeunt.export.onnx.builder import Builder
from exeunt.policies import Consistency, Every, Policy, Threshold
from exeunt.policies.readings import Nats, ProbabilityGap, Reading, TopClass, TopProbability, Value

Memory = Mapping[str, tuple[str, str]]
"""By the spec of a count of agreements, what the exit before said and the count."""


def decide(
    build: Builder, policy: Policy, k: int, logits: str, memory: Memory
) -> tuple[str, Memory]:
    """Adds what says whether an image leaves at exit k (from 0), and what is remembered of it.

    Args:
        build: of the graph, or the branch, that the exit is in.
        policy: any of `exeunt.policies` but `full`.
        k: the exit.
        logits: name of its logits (1, K).
        memory: what the call for the exit before returned, nothing at the first exit.

    Raises:
        ExeuntError: for a policy that is none of these.
    """
    parts = policy.parts if isinstance(policy, Every) else (policy,)
    says, kept = [], dict(memory)
    for part in parts:
        if isinstance(part, Threshold):
            says.append(_reaches(build, part, k, logits))
        elif isinstance(part, Consistency):
            kept[part.spec] = _count(build, part, k, logits, memory.get(part.spec))
            needed = build.integers([part.k])
            says.append(build.add("GreaterOrEqual", kept[part.spec][1], needed))
        else:
            raise ExeuntError(
                f"policy {policy.spec!r}: in one graph confidence, margin, entropy and consistency "
                f"decide, several of them with +, and full; not {part.spec!r}"
            )
    leave = says[0]
    for other in says[1:]:
        leave = build.add("And", leave, other)
    return leave, kept


def _reaches(build: Builder, part: Threshold, k: int, logits: str) -> str:
    thresholds = part.threshold
    if isinstance(thresholds, tuple):
        thresholds = thresholds[k] if k < len(thresholds) else part.never
    (reading,) = part.readings(k)
    kind = {">=": "GreaterOrEqual", "<=": "LessOrEqual"}[part.sign]
    return build.add(kind, _read(build, reading, logits), build.floats(thresholds))


def _count(
    build: Builder, part: Consistency, k: int, logits: str, before: tuple[str, str] | None
) -> tuple[str, str]:
    """What this exit says, and how often in a row that was said."""
    (reading,) = part.readings(k)
    now = _read(build, reading, logits)
    if before is None:
        return now, build.integers([0])
    said, count = before
    if part.eta is None:
        same = build.add("Equal", now, said)
    else:
        off = build.add("Abs", build.add("Sub", now, said))
        same = build.add("Less", off, build.floats(part.eta))
    more = build.add("Add", count, build.integers([1]))
    return now, build.add("Where", same, more, build.integers([0]))


def _read(build: Builder, reading: Reading, logits: str) -> str:
    """A reading of logits (1, K), (1,)."""
    return _READINGS[type(reading)](build, reading, logits)


def _softened(build: Builder, reading: Any, logits: str) -> str:
    if reading.temperature != 1:
        logits = build.add("Div", logits, build.floats(reading.temperature))
    return build.add("Softmax", logits, axis=1)


def _largest(build: Builder, reading: TopProbability, logits: str) -> str:
    p = _softened(build, reading, logits)
    return build.add("ReduceMax", p, build.integers([1]), keepdims=0)


def _gap(build: Builder, reading: ProbabilityGap, logits: str) -> str:
    p = _softened(build, reading, logits)
    top, _ = build.split("TopK", p, build.integers([2]), count=2)
    first, second = (build.slice(top, 1, n, n + 1) for n in (0, 1))
    return build.add("Squeeze", build.add("Sub", first, second), build.integers([1]))


def _nats(build: Builder, reading: Nats, logits: str) -> str:
    p = _softened(build, reading, logits)
    log = build.add("Log", build.add("Max", p, build.floats(float(np.finfo(np.float32).tiny))))
    terms = build.add("Mul", p, log)
    return build.add("Neg", build.add("ReduceSum", terms, build.integers([1]), keepdims=0))


def _top(build: Builder, reading: TopClass, logits: str) -> str:
    return build.add("ArgMax", logits, axis=1, keepdims=0)


def _value(build: Builder, reading: Value, logits: str) -> str:
    return build.add("Squeeze", logits, build.integers([1]))


_READINGS: dict[type, Callable[[Builder, Any, str], str]] = {
    TopProbability: _largest,
    ProbabilityGap: _gap,
    Nats: _nats,
    TopClass: _top,
    Value: _value,
}
