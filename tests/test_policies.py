"""Decisions worked out by hand, a per-sample reference, and the contract every policy keeps."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from exeunt.errors import ExeuntError
from exeunt.policies import (
    Confidence,
    Consistency,
    Entropy,
    Every,
    Full,
    Margin,
    Memory,
    Policy,
    check_policy,
    parse_policy,
)


def show(policy: Policy, stream: Tensor) -> list[list[bool]]:
    """Decisions of a policy on a stream (E N K) that nobody leaves, as lists (E N)."""
    memory: Memory = ()
    decisions = []
    for k, logits in enumerate(stream):
        leave, memory = policy.observe(k, logits, memory)
        decisions.append(leave.tolist())
    return decisions


def winners(*classes: int) -> Tensor:
    """A stream (E 1 4) of one sample whose argmax follows `classes`."""
    return torch.nn.functional.one_hot(torch.tensor(classes), 4).float().unsqueeze(1)


def reference_leaves(policy: Policy, history: list[list[float]]) -> bool:
    """The definition, for one sample, on its outputs of all exits so far, in plain Python."""
    if isinstance(policy, Consistency):
        count = 0
        for before, now in pairwise(history):
            if policy.eta is None:
                agrees = before.index(max(before)) == now.index(max(now))
            else:
                agrees = abs(now[0] - before[0]) < policy.eta
            count = count + 1 if agrees else 0
        return count >= policy.k
    if isinstance(policy, Every):
        return all(reference_leaves(part, history) for part in policy.parts)
    k = len(history) - 1
    threshold, temperature = (
        (values[k] if k < len(values) else absent) if isinstance(values, tuple) else values
        for values, absent in ((policy.threshold, policy.never), (policy.temperature, 1))
    )
    exponentials = [math.exp(logit / temperature) for logit in history[-1]]
    p = [value / sum(exponentials) for value in exponentials]
    if isinstance(policy, Margin):
        return sorted(p)[-1] - sorted(p)[-2] >= threshold
    if isinstance(policy, Confidence):
        return max(p) >= threshold
    assert isinstance(policy, Entropy)
    return -sum(value * math.log(value) for value in p) <= threshold


@pytest.mark.parametrize(
    ("k", "classes", "expected"),
    [
        (1, (2, 2, 2, 2), (0, 1, 1, 1)),
        (1, (0, 1, 2, 2), (0, 0, 0, 1)),
        (1, (0, 1, 0, 1), (0, 0, 0, 0)),
        (2, (3, 3, 3, 3), (0, 0, 1, 1)),
        (2, (3, 3, 1, 1), (0, 0, 0, 0)),  # a flip sets the count back to 0
        (2, (0, 0, 1, 1, 1), (0, 0, 0, 0, 1)),
        (2, (0, 0, 1, 0, 0, 0), (0, 0, 0, 0, 0, 1)),  # coming back to a class counts anew
        (3, (1, 1, 1, 1, 1), (0, 0, 0, 1, 1)),
        (3, (1, 1, 1, 2, 2, 2, 2), (0, 0, 0, 0, 0, 0, 1)),
    ],
)
def test_consistency_counts_agreements_with_the_exit_before(k, classes, expected) -> None:
    assert show(Consistency(k), winners(*classes)) == [[bool(leaves)] for leaves in expected]


def test_consistency_counts_each_row_on_its_own() -> None:
    stream = torch.cat([winners(0, 0, 0), winners(0, 1, 1), winners(2, 2, 0)], dim=1)
    assert show(Consistency(1), stream) == [
        [False, False, False],
        [True, False, True],
        [True, True, False],
    ]


def test_regression_needs_a_step_strictly_below_eta() -> None:
    values = torch.tensor([1.0, 1.5, 1.25, 1.0, 1.75]).view(5, 1, 1)
    assert show(Consistency(1, eta=0.5), values) == [[False], [False], [True], [True], [False]]
    assert show(Consistency(2, eta=0.5), values) == [[False], [False], [False], [True], [False]]
    just_above = math.nextafter(0.5, 1) + 1e-6
    assert show(Consistency(1, eta=just_above), values)[1] == [True]


def test_confidence_and_entropy_of_known_distributions() -> None:
    p = torch.tensor([[0.75, 0.25], [0.5, 0.5], [0.25, 0.75]])
    assert show(Confidence(0.74), p.log()[None]) == [[True, False, True]]
    assert show(Confidence(0.76), p.log()[None]) == [[False, False, False]]
    # -(3/4 ln 3/4 + 1/4 ln 1/4) = 0.56233..., and ln 2 = 0.69314... for the even one
    assert show(Entropy(0.5624), p.log()[None]) == [[True, False, True]]
    assert show(Entropy(0.5623), p.log()[None]) == [[False, False, False]]
    assert show(Entropy(0.6932), p.log()[None]) == [[True, True, True]]


def test_thresholds_are_inclusive() -> None:
    even = torch.zeros(1, 1, 4)
    certain = torch.tensor([[[0.0, -math.inf, -math.inf]]])
    assert show(Confidence(0.25), even) == [[True]]
    assert show(Confidence(1.0), certain) == [[True]]
    assert show(Entropy(0.0), certain) == [[True]]


def test_full_never_leaves() -> None:
    assert show(Full(), 100 * winners(1, 1, 1)) == [[False]] * 3


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    exits=st.integers(1, 7),
    samples=st.integers(1, 9),
    policy=st.one_of(
        st.builds(Consistency, st.integers(1, 4)),
        st.builds(Consistency, st.integers(1, 4), st.floats(0.05, 2.0)),
        st.builds(Confidence, st.floats(0.1, 0.95)),
        st.builds(Entropy, st.floats(0.05, 1.5)),
        st.builds(Margin, st.floats(0.05, 0.9), st.floats(0.5, 3)),
        st.builds(
            Confidence,
            st.lists(st.floats(0.1, 0.95) | st.just(math.inf), max_size=7).map(tuple),
            st.lists(st.floats(0.5, 3), max_size=7).map(tuple),
        ),
        st.builds(
            lambda k, t: Every((Consistency(k), Margin(t))), st.integers(1, 3), st.floats(0, 1)
        ),
        st.builds(
            lambda t, k: Every((Entropy(t), Consistency(k))), st.floats(0, 1), st.integers(1, 3)
        ),
    ),
)
def test_vectorised_policies_agree_with_the_per_sample_definition(
    seed: int, exits: int, samples: int, policy: Policy
) -> None:
    classes = 1 if isinstance(policy, Consistency) and policy.eta is not None else 3
    generator = torch.Generator().manual_seed(seed)
    stream = torch.randn(exits, samples, classes, generator=generator)
    histories = stream.transpose(0, 1).tolist()
    expected = [
        [reference_leaves(policy, history[: k + 1]) for history in histories] for k in range(exits)
    ]
    assert show(policy, stream) == expected


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("full", Full()),
        ("confidence:0.9", Confidence(0.9)),
        ("confidence:1", Confidence(1)),
        ("entropy:0.35", Entropy(0.35)),
        ("consistency:2", Consistency(2)),
        ("consistency:2,eta=0.1", Consistency(2, eta=0.1)),
        ("margin:0.4", Margin(0.4)),
        ("confidence:0.9/0.8/inf", Confidence((0.9, 0.8, math.inf))),
        ("entropy:0.9/-inf", Entropy((0.9, -math.inf))),
        ("confidence:0.9,t=1.5", Confidence(0.9, 1.5)),
        ("margin:0.9/1,t=1.5/2/1", Margin((0.9, 1), (1.5, 2, 1))),
        ("consistency:1+confidence:0.8", Every((Consistency(1), Confidence(0.8)))),
        (
            "consistency:1,eta=1e+20+consistency:2,eta=3",
            Every((Consistency(1, 1e20), Consistency(2, 3))),
        ),
    ],
)
def test_parse_policy_reads_the_documented_forms(text: str, policy: Policy) -> None:
    assert parse_policy(text) == policy
    assert parse_policy(policy.spec) == policy


@given(st.floats(0, 1), st.integers(1, 99), st.floats(1e-30, 1e30))
def test_spec_keeps_every_digit(share: float, k: int, eta: float) -> None:
    for policy in (Confidence(share), Entropy(eta), Consistency(k), Consistency(k, eta)):
        assert parse_policy(policy.spec) == policy


@pytest.mark.parametrize(
    "text",
    [
        "",
        "confidence",
        "confidence:",
        "confidence:1.5",
        "confidence:nan",
        "entropy:-1",
        "entropy:inf",
        "consistency:0",
        "consistency:1.5",
        "consistency:2,tau=1",
        "consistency:2,eta=0",
        "consistency:2,eta=",
        "full:1",
        "patience:3",
        "confidence:0.9/1.2",
        "confidence:-inf",
        "entropy:0.9/inf",
        "margin:0.5,t=0",
        "margin:0.5,t=inf",
        "margin:0.5,t=",
        "confidence:0.9+full",
        "confidence:0.9+",
        "consistency:1,eta=1+confidence:0.5",
    ],
)
def test_parse_policy_names_the_text_and_the_valid_forms(text: str) -> None:
    with pytest.raises(ExeuntError, match="valid forms: full, confidence:T") as error:
        parse_policy(text)
    assert repr(text) in str(error.value)


@pytest.mark.parametrize("k", [0, -1, 2.0, True])
def test_consistency_refuses_a_count_that_is_none(k) -> None:
    with pytest.raises(ExeuntError, match="whole number >= 1"):
        Consistency(k)


@pytest.mark.parametrize("policy", [Confidence(0.5), Entropy(0.5), Consistency(1)])
def test_class_policies_refuse_single_values(policy: Policy) -> None:
    with pytest.raises(ExeuntError, match="two or more classes"):
        policy.observe(0, torch.zeros(3, 1), ())


def test_regression_policy_refuses_classes() -> None:
    with pytest.raises(ExeuntError, match=r"one value per sample.*\(3, 5\)"):
        Consistency(1, eta=0.1).observe(0, torch.zeros(3, 5), ())


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((Confidence(0.5),), "two policies or more"),
        ((Confidence(0.5), Full()), "'full' cannot be joined"),
        ((Confidence(0.5), Consistency(1, eta=1)), "for classes and for values"),
    ],
)
def test_policies_that_cannot_be_joined(parts, message: str) -> None:
    with pytest.raises(ExeuntError, match=message):
        Every(parts)


def test_policies_read_well() -> None:
    assert str(Full()) == "no early exit"
    assert str(Confidence(0.9)) == "confidence >= 0.9"
    assert str(Entropy(0.35)) == "entropy <= 0.35 nats"
    assert str(Margin((0.5, math.inf), (2, 1))) == "margin (calibrated) >= 0.5 never at the exits"
    assert str(Every((Consistency(2), Margin(0.5)))) == "2 agreements in a row and margin >= 0.5"
    assert str(Consistency(1)) == "1 agreement in a row"
    assert str(Consistency(2, eta=0.1)) == "2 agreements in a row (within 0.1)"


@pytest.mark.parametrize(
    ("policy", "num_classes"),
    [
        (Full(), 1),
        (Full(), 10),
        (Confidence(0.6), 2),
        (Confidence(0.6), 10),
        (Entropy(0.9), 10),
        (Consistency(1), 2),
        (Consistency(3), 10),
        (Consistency(1, eta=0.5), 1),
        (Margin(0.3), 2),
        (Confidence((0.5, 0.6, math.inf, 0.7), (1.5, 2)), 10),
        (Every((Consistency(1), Confidence(0.6), Consistency(2))), 3),
        (Every((Consistency(1, eta=0.5), Consistency(2, eta=2))), 1),
    ],
)
def test_own_policies_keep_the_contract(policy: Policy, num_classes: int) -> None:
    check_policy(policy, num_classes=num_classes)


@dataclass
class Broken:
    """A policy with one fault of choice."""

    fault: str
    calls: list[int] = field(default_factory=list)

    @property
    def spec(self) -> str:
        return "" if self.fault == "spec" else "broken"

    def observe(self, exit_index: int, logits: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        self.calls.append(len(logits))
        top = logits.amax(dim=1)
        leave = top > 1
        match self.fault:
            case "dtype":
                return leave.long(), ()
            case "shape":
                return leave[:, None], ()
            case "memory type":
                return leave, [top]  # type: ignore[return-value]
            case "memory rows":
                return leave, (top[:1],) if len(top) > 1 else (top[:0],)
            case "scalar memory":
                return leave, (top.sum(),)
            case "in place":
                logits.clamp_(max=0)
            case "memory in place":
                if memory:
                    memory[0].add_(1)
                return leave, (top.clone(),)
            case "impure":
                return torch.full_like(leave, len(self.calls) % 5 == 0), ()
            case "batch mean":
                return top > logits.mean(), ()
            case "row number":
                return leave & (torch.arange(len(leave)) < 20), ()
            case "thinned":  # a batch that starts whole is fine, one that shrinks is not
                first = memory[0] if memory else torch.full((len(top),), len(top))
                return leave & (first == len(top)), (first,)
        return leave, ()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("spec", "spec must not be empty"),
        ("dtype", "leave must be bool"),
        ("shape", r"leave must have shape \(24,\)"),
        ("memory type", "memory must be a tuple, got list"),
        ("memory rows", "batch-first"),
        ("scalar memory", "got a scalar"),
        ("in place", "modified its arguments"),
        ("memory in place", "modified its arguments"),
        ("impure", "not a pure function"),
        ("batch mean", "depend on other rows"),
        ("row number", "depend on other rows"),
        ("thinned", "dropped from the batch"),
    ],
)
def test_check_policy_finds(fault: str, message: str) -> None:
    check_policy(Broken("none"), num_classes=4)
    with pytest.raises(AssertionError, match=message):
        check_policy(Broken(fault), num_classes=4)
