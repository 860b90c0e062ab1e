"""Exit policies: pure functions over a stream of logits that say which samples leave now.

What a policy remembers of each sample is passed in and handed back, like the state of a net. One
object can therefore serve a live net, recorded logits and any mix of batch sizes, and a batch may
lose rows between two exits. Whoever has not left takes the last exit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from exeunt.errors import ExeuntError

Memory: TypeAlias = tuple[Tensor, ...]
"""What a policy knows of each sample so far: batch-first tensors, `()` before the first exit."""

POLICY_FORMS = "full, confidence:T, entropy:T, consistency:K, consistency:K,eta=X"


class Policy(Protocol):
    """Says, exit by exit, which samples of a batch stop there."""

    @property
    def spec(self) -> str:
        """The policy in one word, `name:parameters`; `parse_policy` reads those of this module."""
        ...

    def observe(self, logits: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """Looks at one exit.

        Args:
            logits: This exit's output (N K), for the samples that are still in.
            memory: What the last call returned for these N samples, `()` at the first exit.

        Returns:
            Which samples leave (N, bool), and the memory for the next exit. A row's decision
            depends on that row alone, and neither argument is modified.
        """
        ...


@dataclass(frozen=True)
class Full:
    """Never leaves early: every sample takes the last exit."""

    @property
    def spec(self) -> str:
        return "full"

    def __str__(self) -> str:
        return "no early exit"

    def observe(self, logits: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        return torch.zeros(len(logits), dtype=torch.bool, device=logits.device), memory


@dataclass(frozen=True)
class Confidence:
    """Leaves when the largest softmax probability is at least `threshold` (0 to 1).

    The criterion of MSDNet (Huang et al., ICLR 2018) and of SDN (Kaya et al., ICML 2019). It is
    compared in float32, whatever the logits are stored in.
    """

    threshold: float

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise ExeuntError(f"confidence threshold must be in 0..1, got {self.threshold}")

    @property
    def spec(self) -> str:
        return f"confidence:{float(self.threshold)!r}"

    def __str__(self) -> str:
        return f"confidence >= {self.threshold:g}"

    def observe(self, logits: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        return _probabilities(logits, self).amax(dim=1) >= self.threshold, memory


@dataclass(frozen=True)
class Entropy:
    """Leaves when the entropy of the softmax, `-sum p ln p`, is at most `threshold` (nats).

    The criterion of BranchyNet (Teerapittayanon et al., ICPR 2016). K classes have at most ln K
    nats. It is compared in float32, whatever the logits are stored in.
    """

    threshold: float

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < math.inf:
            raise ExeuntError(
                f"entropy threshold must be a finite number >= 0 (nats), got {self.threshold}"
            )

    @property
    def spec(self) -> str:
        return f"entropy:{float(self.threshold)!r}"

    def __str__(self) -> str:
        return f"entropy <= {self.threshold:g} nats"

    def observe(self, logits: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        entropy = torch.special.entr(_probabilities(logits, self)).sum(dim=1)
        return entropy <= self.threshold, memory


@dataclass(frozen=True)
class Consistency:
    """Leaves when the prediction has agreed with the exit before it `k` times in a row (CBEE).

    Equations 10 and 11 of the ReX paper: N_1 = 0; N_i = N_(i-1) + 1 if exit i agrees with exit
    i-1, otherwise 0; stop at N_i = k. Classes agree when their argmax is equal. With `eta` the
    policy is for regression (logits N 1), and values agree when |g_i - g_(i-1)| < eta. The rule
    is that of PABEE (Zhou et al., NeurIPS 2020).
    """

    k: int
    eta: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.k, int) or isinstance(self.k, bool) or self.k < 1:
            raise ExeuntError(f"consistency count k must be a whole number >= 1, got {self.k!r}")
        if self.eta is not None and not 0 < self.eta < math.inf:
            raise ExeuntError(f"consistency eta must be a finite number > 0, got {self.eta}")

    @property
    def spec(self) -> str:
        eta = "" if self.eta is None else f",eta={float(self.eta)!r}"
        return f"consistency:{self.k}{eta}"

    def __str__(self) -> str:
        times = f"{self.k} agreement{'s' if self.k > 1 else ''} in a row"
        return times if self.eta is None else f"{times} (within {self.eta:g})"

    def observe(self, logits: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        prediction = self._predict(logits)
        if memory:
            before, count = memory
            count = torch.where(self._agree(prediction, before), count + 1, 0)
        else:
            count = torch.zeros(len(logits), dtype=torch.int64, device=logits.device)
        return count >= self.k, (prediction, count)

    def _predict(self, logits: Tensor) -> Tensor:
        if self.eta is None:
            return _class_logits(logits, self).argmax(dim=1)
        if logits.ndim != 2 or logits.shape[1] != 1:
            raise ExeuntError(
                f"policy {self.spec!r} is for regression and reads one value per sample (N 1), "
                f"got logits of shape {tuple(logits.shape)}; for classes leave out eta"
            )
        return logits[:, 0].float()

    def _agree(self, prediction: Tensor, before: Tensor) -> Tensor:
        if self.eta is None:
            return prediction == before
        return (prediction - before).abs() < self.eta


def _class_logits(logits: Tensor, policy: Policy) -> Tensor:
    """The logits as they came, once it is certain that they are those of at least two classes."""
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise ExeuntError(
            f"policy {policy.spec!r} reads logits of two or more classes (N K), "
            f"got shape {tuple(logits.shape)}; for regression use consistency:K,eta=X or full"
        )
    return logits


def _probabilities(logits: Tensor, policy: Policy) -> Tensor:
    return _class_logits(logits, policy).softmax(dim=1, dtype=torch.float32)


def parse_policy(text: str) -> Policy:
    """Reads a policy from the text that its `spec` gives, such as `consistency:2`.

    Raises:
        ExeuntError: The text is none of the valid forms, or a parameter is out of range.
    """
    try:
        match text.partition(":"):
            case "full", "", "":
                return Full()
            case "confidence", ":", threshold:
                return Confidence(float(threshold))
            case "entropy", ":", threshold:
                return Entropy(float(threshold))
            case "consistency", ":", parameters:
                k, comma, eta = parameters.partition(",eta=")
                return Consistency(int(k), float(eta) if comma else None)
    except ValueError as error:
        raise ExeuntError(f"policy {text!r}: {error}; valid forms: {POLICY_FORMS}") from None
    raise ExeuntError(f"policy {text!r} is not known; valid forms: {POLICY_FORMS}")


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
        leave, memory = _observe_checked(policy, logits[rows], memory)
        decisions[k, rows] = leave.long()
        if drop_rows:
            keep = torch.arange(len(rows)) % 4 != k % 4
            rows, memory = rows[keep], tuple(part[keep] for part in memory)
    return decisions


def _observe_checked(policy: Policy, logits: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
    """One call of `observe`, with its result and its arguments looked over afterwards."""
    n = len(logits)
    before = [part.clone() for part in (logits, *memory)]
    leave, after = policy.observe(logits, memory)
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
