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
    "entropy:0.9",
    "entropy:0.3/-inf/1.1,t=1.5",
    "consistency:1+entropy:1.2+confidence:0.4",
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
        if policy.perplexity is not None:
            below = [max(row) - s for s in row]
            softness = policy.softness[k]
            bits = sum(share(b, softness) * ((b * softness) >> 16) for b in below)
            sure &= total * 65536 <= halved(policy.perplexity[k], 256 * bits // total)
    return sure


def halved(most: int, bits: int) -> int:
    """`most` times 2**(20 - bits / 65536), on straight lines between every 256th of a bit."""
    whole, part = divmod(bits, 65536)
    step, rest = divmod(part, 256)
    here, following = (round(2**20 * 2 ** (-k / 256)) for k in (step, step + 1))
    return most * (here - (here - following) * rest // 256) >> whole


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


def test_entropy_is_compared_as_finely_as_that() -> None:
    """Uniform over two classes, and over all five: log 2 and log 5."""
    even = torch.tensor([[0, 0, -32768, -32768, -32768], [7, 7, 7, 7, 7]])
    for nats, said in ((0.693, [1, 1]), (0.6932, [0, 1]), (1.6094, [0, 1]), (1.6095, [0, 0])):
        policy = IntegerPolicy.of(parse_policy(f"entropy:{nats}"), SCALES)
        assert policy.leave([even, even])[0].tolist() == said


@pytest.mark.parametrize("spec", ["consistency:1,eta=0.4", "consistency:2,eta=0.9"])
def test_values_that_are_near_agree(spec: str) -> None:
    policy = parse_policy(spec)
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(4, 500, 1, generator=generator)
    values *= torch.tensor([1, 0.6, 0.4, 0.2])[:, None, None]
    exits = [scale.quantized(one) for scale, one in zip(SCALES, values, strict=True)]
    at, classes = IntegerPolicy.of(policy, SCALES).leave(exits)
    inside, memory = torch.ones(500, dtype=torch.bool), ()
    wanted = torch.full((500,), 3)
    for k, (scale, one) in enumerate(zip(SCALES[:3], exits[:3], strict=True)):
        leave, memory = policy.observe(k, scale.real(one), memory)
        wanted[inside & leave] = k
        inside &= ~leave
    assert torch.equal(at, wanted)
    assert 0.1 < (at == 3).float().mean() < 0.9
    assert not classes.any()


def test_a_tolerance_below_a_step_asks_for_equal_values() -> None:
    policy = IntegerPolicy.of(parse_policy("consistency:1,eta=1e-30"), SCALES[:1] * 3)
    same, other = torch.tensor([[5], [5]]), torch.tensor([[5], [6]])
    assert policy.leave([same, other, same])[0].tolist() == [1, 2]


def test_what_integers_cannot_decide_is_refused() -> None:
    with pytest.raises(ExeuntError, match=r"agreements within one eta, not 0.5 and 0.7"):
        IntegerPolicy.of(parse_policy("consistency:1,eta=0.5+consistency:2,eta=0.7"), SCALES)
