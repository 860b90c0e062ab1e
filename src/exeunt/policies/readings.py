"""What policies look at: one number of each sample, from its logits at one exit.

Readings that are equal give equal numbers, so recorded logits need each of them once. All are
computed in float32, whatever the logits are stored in, and row by row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Reading(Protocol):
    """A hashable function of logits."""

    def __call__(self, logits: Tensor) -> Tensor:
        """From logits (N K) to one number each, (N,)."""
        ...

    def __hash__(self) -> int: ...


@dataclass(frozen=True)
class TopProbability:
    """The largest softmax probability of the logits divided by `temperature`."""

    temperature: float = 1.0

    def __call__(self, logits: Tensor) -> Tensor:
        return softened(logits, self.temperature).amax(dim=1)


@dataclass(frozen=True)
class ProbabilityGap:
    """The largest softmax probability minus the next, of the logits divided by `temperature`."""

    temperature: float = 1.0

    def __call__(self, logits: Tensor) -> Tensor:
        top: Tensor = softened(logits, self.temperature).topk(2, dim=1).values
        return top[:, 0] - top[:, 1]


@dataclass(frozen=True)
class Nats:
    """The entropy of the softmax, `-sum p ln p`, of the logits divided by `temperature`."""

    temperature: float = 1.0

    def __call__(self, logits: Tensor) -> Tensor:
        p = softened(logits, self.temperature)
        smallest = torch.finfo(p.dtype).tiny  # so that p = 0 adds 0; `entr` takes twice as long
        return -(p * p.clamp(min=smallest).log()).sum(dim=1)


@dataclass(frozen=True)
class TopClass:
    """The index of the largest logit, the first of several that are equal."""

    def __call__(self, logits: Tensor) -> Tensor:
        return logits.float().max(dim=1).indices  # as `argmax`, in half the time


@dataclass(frozen=True)
class Value:
    """The value itself, of a regression (N 1)."""

    def __call__(self, logits: Tensor) -> Tensor:
        return logits[:, 0].float()


def softened(logits: Tensor, temperature: float) -> Tensor:
    """The softmax of `logits / temperature` (N K), float32 (Guo et al., ICML 2017)."""
    logits = logits.float()
    return (logits if temperature == 1 else logits / temperature).softmax(dim=1)
