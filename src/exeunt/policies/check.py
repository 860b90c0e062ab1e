"""The contract test of policies, for those written outside this package too."""

from __future__ import annotations

import torch
from torch import Tensor

from exeunt.policies.policy import Memory, Policy


def check_policy(policy: Policy, *, num_classes: int) -> None:
    """Tests the contract that `Policy` describes; for policies written outside this package.

    A seeded random stream of logits is shown to the policy as one batch, again, row by row, and
    as a batch that loses rows on its way. All must lead to the same decisions.

    Args:
        policy: The policy to test.
        num_classes: K of the logits; 1 for a regression policy.

    Raises:
        AssertionError: The contract is broken; the message says how.
    """
    exits, samples = 6, 24
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(exits, samples, num_classes, generator=generator)
    stream = 3 * noise.cumsum(dim=0) / torch.arange(1, exits + 1).view(-1, 1, 1)

    assert isinstance(policy.spec, str), f"spec must be text, got {policy.spec!r}"
    assert policy.spec, "spec must not be empty"

    whole = _decisions(policy, stream)
    assert torch.equal(_decisions(policy, stream), whole), (
        "the same stream shown twice gave different decisions: not a pure function"
    )
    for row in range(samples):
        alone = _decisions(policy, stream[:, row : row + 1])
        assert torch.equal(alone[:, 0], whole[:, row]), (
            f"sample {row} is decided differently alone and in a batch of {samples}: "
            "its decisions depend on other rows"
        )
    thinned = _decisions(policy, stream, drop_rows=True)
    asked = thinned >= 0
    assert torch.equal(thinned[asked], whole[asked]), (
        "decisions change once other rows have been dropped from the batch and the memory"
    )


def _decisions(policy: Policy, stream: Tensor, *, drop_rows: bool = False) -> Tensor:
    """Shows a stream (E N K) to a policy and notes 1 leaves, 0 stays, -1 not asked (E N)."""
    decisions = torch.full(stream.shape[:2], -1)
    rows = torch.arange(stream.shape[1])
    memory: Memory = ()
    for k, logits in enumerate(stream):
        leave, memory = _observe_checked(policy, k, logits[rows], memory)
        decisions[k, rows] = leave.long()
        if drop_rows:
            keep = torch.arange(len(rows)) % 4 != k % 4
            rows, memory = rows[keep], tuple(part[keep] for part in memory)
    return decisions


def _observe_checked(
    policy: Policy, k: int, logits: Tensor, memory: Memory
) -> tuple[Tensor, Memory]:
    """One call of `observe`, with its result and its arguments looked over afterwards."""
    n = len(logits)
    before = [part.clone() for part in (logits, *memory)]
    leave, after = policy.observe(k, logits, memory)
    assert isinstance(leave, Tensor), f"leave must be a tensor, got {type(leave).__name__}"
    assert leave.dtype == torch.bool, f"leave must be bool, got {leave.dtype}"
    assert leave.shape == (n,), f"leave must have shape ({n},), got {tuple(leave.shape)}"
    assert isinstance(after, tuple), f"memory must be a tuple, got {type(after).__name__}"
    for part in after:
        assert isinstance(part, Tensor), f"memory must hold tensors, got {type(part).__name__}"
        assert part.ndim > 0, f"memory must be batch-first ({n} rows), got a scalar"
        assert len(part) == n, f"memory must be batch-first ({n} rows), got {tuple(part.shape)}"
    for was, now in zip(before, (logits, *memory), strict=True):
        assert torch.equal(was, now), "observe modified its arguments in place"
    return leave, after
