"""Integer policies against loops over samples, and against the policies they stand for."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from exeunt.errors import ExeuntError
from exeunt.policies import parse_policy
from exeunt.quantize.policy import NEVER, IntegerPolicy
from exeunt.quantize.scale import INT16, Scale

SCALES = [Scale(0.001 * (k + 1), 0, INT16) for k in range(4)]
SPECS = (
    "full",
    "consistency:1",
    "consistency:2",
    "confidence:0.5",
    "confidence:0.9/inf/0.4,t=2.0",
    "margin:0.3",
    "confidence:0.6+margin:0.2",
    "consistency:1+confidence:0.6",
)


def scores(samples: int = 400, classes: int = 5) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(samples, classes, generator=generator)
    noisy = [base + 0.5 * torch.randn(samples, classes, generator=generator) for _ in SCALES]
    return [scale.quantized(2 * x) for scale, x in zip(SCALES, noisy, strict=True)]


@pytest.mark.parametrize("spec", SPECS)
def test_it_leaves_where_a_loop_over_one_sample_leaves(spec: str) -> None:
    policy = IntegerPolicy.of(parse_policy(spec), SCALES)
    exits = scores()
    at, classes = policy.leave(exits)
    for n in range(len(exits[0])):
        before, agreed = None, 0
        for k, mine in enumerate(exits):
            row = mine[n].tolist()
            best = row.index(max(row))
            agreed = agreed + 1 if best == before else 0
            before = best
            if k == len(exits) - 1 or leaves(policy, k, row, agreed):
                break
        assert (int(at[n]), int(classes[n])) == (k, best)


def leaves(policy: IntegerPolicy, k: int, row: list[int], agreed: int) -> bool:
    if policy == IntegerPolicy():
        return False
    sure = agreed >= policy.patience
    if policy.softness is not None:
        shares = sorted((share(max(row) - s, policy.softness[k]) for s in row), reverse=True)
        total = sum(shares)
        if policy.confidence is not None:
            sure &= shares[0] * 65536 >= policy.confidence[k] * total
        if policy.margin is not None:
            sure &= (shares[0] - shares[1]) * 65536 >= policy.margin[k] * total
    return sure


def share(below: int, softness: int) -> int:
    halvings = (below * softness) >> 16
    whole, part = divmod(halvings, 256)
    return 0 if whole > 20 else round(2**20 * 2 ** (-part / 256)) >> whole


@pytest.mark.parametrize("spec", SPECS)
def test_it_agrees_with_the_policy_but_at_the_threshold(spec: str) -> None:
    policy, exits = parse_policy(spec), scores()
    at, _ = IntegerPolicy.of(policy, SCALES).leave(exits)
    inside, memory = torch.ones(len(at), dtype=torch.bool), ()
    wanted = torch.full_like(at, len(exits) - 1)
    for k, (scale, mine) in enumerate(zip(SCALES, exits, strict=True)):
        if k == len(exits) - 1:
            break
        leave, memory = policy.observe(k, scale.real(mine), memory)
        wanted[inside & leave] = k
        inside &= ~leave
    assert (at != wanted).float().mean() < 0.01


def test_exits_without_a_threshold_are_never_taken() -> None:
    policy = IntegerPolicy.of(parse_policy("confidence:0.9/inf/0.4"), SCALES)
    assert policy.confidence == (round(0.9 * 65536), NEVER, round(0.4 * 65536))
    assert policy.softness is not None
    assert policy.softness[0] == round(0.001 / math.log(2) * 2**24)


@pytest.mark.parametrize("spec", ["entropy:0.5", "consistency:1,eta=0.5"])
def test_what_integers_cannot_decide_is_refused(spec: str) -> None:
    with pytest.raises(ExeuntError, match=r"a device decides confidence, margin, consistency"):
        IntegerPolicy.of(parse_policy(spec), SCALES)
