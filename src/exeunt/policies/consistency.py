"""Consistency between exits, the policy of the ReX paper."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from exeunt.errors import ExeuntError
from exeunt.policies.policy import Memory, ReadingPolicy
from exeunt.policies.readings import Reading, TopClass, Value


@dataclass(frozen=True)
class Consistency(ReadingPolicy):
    """Leaves when the prediction has agreed with the exit before it `k` times in a row (CBEE).

    Equations 10 and 11 of the ReX paper: N_1 = 0; N_i = N_(i-1) + 1 if exit i agrees with exit
    i-1, otherwise 0; stop at N_i = k. Classes agree when their argmax is equal. With `eta` the
    policy is for regression (logits N 1), and values agree when |g_i - g_(i-1)| < eta. The rule
    is that of PABEE (Zhou et al., NeurIPS 2020).
    """

    k: int
    eta: float | None = None

    remembers: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if not isinstance(self.k, int) or isinstance(self.k, bool) or not 1 <= self.k < 2**31:
            raise ExeuntError(
                f"consistency count k must be a whole number >= 1 and < 2**31, got {self.k!r}"
            )
        if self.eta is not None and not 0 < self.eta < math.inf:
            raise ExeuntError(f"consistency eta must be a finite number > 0, got {self.eta}")

    @property
    def task(self) -> str:
        return "classification" if self.eta is None else "regression"

    @property
    def spec(self) -> str:
        eta = "" if self.eta is None else f",eta={float(self.eta)!r}"
        return f"consistency:{self.k}{eta}"

    def __str__(self) -> str:
        times = f"{self.k} agreement{'s' if self.k > 1 else ''} in a row"
        return times if self.eta is None else f"{times} (within {self.eta:g})"

    def readings(self, exit_index: int) -> tuple[Reading, ...]:
        return (TopClass() if self.eta is None else Value(),)

    def decide(
        self, exit_index: int, values: tuple[Tensor, ...], memory: Memory
    ) -> tuple[Tensor, Memory]:
        (prediction,) = values
        if memory:
            before, count = memory
            count = torch.where(self._agree(prediction, before), count + 1, 0)
        else:
            count = torch.zeros(len(prediction), dtype=torch.int64, device=prediction.device)
        return count >= self.k, (prediction, count)

    def _agree(self, prediction: Tensor, before: Tensor) -> Tensor:
        if self.eta is None:
            return prediction == before
        return (prediction - before).abs() < self.eta
