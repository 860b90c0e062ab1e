"""Exit policies: pure functions over a stream of logits that say which samples leave now.

What a policy remembers of each sample is passed in and handed back, like the state of a net. One
object can therefore serve a live net, recorded logits and any mix of batch sizes, and a batch may
lose rows between two exits. Whoever has not left takes the last exit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeAlias

import torch
from torch import Tensor

from exeunt.errors import ExeuntError
from exeunt.policies.readings import Reading

Memory: TypeAlias = tuple[Tensor, ...]
"""What a policy knows of each sample so far: batch-first tensors, `()` before the first exit."""


class Policy(Protocol):
    """Says, exit by exit, which samples of a batch stop there."""

    @property
    def spec(self) -> str:
        """The policy in one word, `name:parameters`; `parse_policy` reads those of this package."""
        ...

    def observe(self, exit_index: int, logits: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """Looks at one exit.

        Args:
            exit_index: Which one, counted from 0.
            logits: Its output (N K), for the samples that are still in.
            memory: What the last call returned for these N samples, `()` at the first exit.

        Returns:
            Which samples leave (N, bool), and the memory for the next exit. A row's decision
            depends on that row alone, and no argument is modified.
        """
        ...


def expect_policy(call: str, policy: object) -> None:
    """Refuses what is no policy, such as the text of one.

    Raises:
        ExeuntError: with the way out.
    """
    if not callable(getattr(policy, "observe", None)):
        raise ExeuntError(
            f"{call}: policy must be a Policy, not {type(policy).__name__}; "
            "parse_policy('confidence:0.9') makes one of a text"
        )


class ReadingPolicy(ABC):
    """A policy that looks at a few numbers of each sample rather than at all its logits.

    Recorded logits are read once, however many such policies are replayed over them.

    Attributes:
        remembers: How many tensors its memory holds after the first exit.
        task: Whose logits it reads, "classification" (N K) or "regression" (N 1).
    """

    remembers: ClassVar[int] = 0

    @property
    def task(self) -> str:
        return "classification"

    @property
    @abstractmethod
    def spec(self) -> str:
        """As `Policy` has it."""

    @abstractmethod
    def readings(self, exit_index: int) -> tuple[Reading, ...]:
        """What is looked at there."""

    @abstractmethod
    def decide(
        self, exit_index: int, values: tuple[Tensor, ...], memory: Memory
    ) -> tuple[Tensor, Memory]:
        """As `observe`, given what the readings found: tensors (N,)."""

    def observe(self, exit_index: int, logits: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """As `Policy` has it.

        Raises:
            ExeuntError: The logits are not those of the policy's task.
        """
        self.check_outputs(logits)
        values = tuple(reading(logits) for reading in self.readings(exit_index))
        return self.decide(exit_index, values, memory)

    def check_outputs(self, logits: Tensor) -> None:
        """Refuses logits (..., K) of the other task.

        Raises:
            ExeuntError: Naming their shape.
        """
        single = logits.shape[-1] == 1
        if self.task == "classification" and single:
            raise ExeuntError(
                f"policy {self.spec!r} reads logits of two or more classes (N K), got shape "
                f"{tuple(logits.shape)}; for regression use consistency:K,eta=X or full"
            )
        if self.task == "regression" and not single:
            raise ExeuntError(
                f"policy {self.spec!r} is for regression and reads one value per sample (N 1), "
                f"got logits of shape {tuple(logits.shape)}; for classes leave out eta"
            )


@dataclass(frozen=True)
class Full:
    """Never leaves early: every sample takes the last exit."""

    @property
    def spec(self) -> str:
        """What `parse_policy` reads back."""
        return "full"

    def __str__(self) -> str:
        return "no early exit"

    def observe(self, exit_index: int, logits: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """Lets nobody go (N,), and keeps nothing in mind."""
        return torch.zeros(len(logits), dtype=torch.bool, device=logits.device), memory
