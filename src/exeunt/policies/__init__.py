"""When to leave: policies, how they are written down, and the contract they keep."""

from exeunt.policies.check import check_policy
from exeunt.policies.conditions import Conditions
from exeunt.policies.consistency import Consistency
from exeunt.policies.every import Every
from exeunt.policies.parse import (
    POLICIES,
    POLICY_FORMS,
    as_policy,
    parse_policy,
    register_policy,
)
from exeunt.policies.policy import Full, Memory, Policy, ReadingPolicy, expect_policy
from exeunt.policies.readings import Nats, ProbabilityGap, Reading, TopClass, TopProbability, Value
from exeunt.policies.thresholds import Confidence, Entropy, Margin, PerExit, Threshold

__all__ = [
    "POLICIES",
    "POLICY_FORMS",
    "Conditions",
    "Confidence",
    "Consistency",
    "Entropy",
    "Every",
    "Full",
    "Margin",
    "Memory",
    "Nats",
    "PerExit",
    "Policy",
    "ProbabilityGap",
    "Reading",
    "ReadingPolicy",
    "Threshold",
    "TopClass",
    "TopProbability",
    "Value",
    "as_policy",
    "check_policy",
    "expect_policy",
    "parse_policy",
    "register_policy",
]
