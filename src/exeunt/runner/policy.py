"""Who leaves: what `exeunt.policies` says of the same logits, in NumPy."""

from __future__ import annotations

import re
import sys

import numpy as np

from exeunt.runner.array import Array, softmax
from exeunt.runner.error import RunnerError


class Policy:
    """Says after each exit who leaves: what `exeunt.policies` says of the same logits.

    Attributes:
        spec: its text, such as `consistency:2` or `confidence:0.9/0.8,t=1.5`; parts joined with
            `+` must all agree.

    Raises:
        RunnerError: for a text that is no policy.
    """

    def __init__(self, spec: str) -> None:
        self.spec = spec
        texts = [] if spec == "full" else re.split(r"\+(?=[a-z]+:)", spec)
        try:
            self._parts = [_Part(text) for text in texts]
        except (ValueError, KeyError):
            raise RunnerError(
                f"policy {spec!r} is none of full, confidence:T, margin:T, entropy:T, "
                "consistency:K, consistency:K,eta=X, or several of these joined with +"
            ) from None

    def observe(
        self, exit_index: int, logits: Array, memory: list[Array]
    ) -> tuple[Array, list[Array]]:
        """Looks at an exit (from 0): who leaves, (N,) bool, and what to remember of everybody.

        Args:
            exit_index: which exit.
            logits: (N, K), of those who are still in.
            memory: what the call before returned for these, `[]` at the first exit.

        Raises:
            RunnerError: the logits are of one value and the policy is for classes, or so.
        """
        leave = np.full(len(logits), bool(self._parts))
        kept: list[Array] = []
        self.refuse_task(logits.shape[1])
        for part in self._parts:
            mine = memory[len(kept) : len(kept) + 2] if part.k else []
            says, after = part.observe(exit_index, logits.astype(np.float32, copy=False), mine)
            leave, kept = leave & says, kept + after
        return leave, kept

    def refuse_task(self, outputs: int) -> None:
        """Refuses logits of `outputs` classes, or of one value, where the policy is for the other.

        Raises:
            RunnerError: naming both.
        """
        if any((outputs == 1) != (part.eta is not None) for part in self._parts):
            raise RunnerError(f"policy {self.spec!r} is not for {outputs} output(s)")


class _Part:
    """One condition."""

    def __init__(self, text: str) -> None:
        self.name, _, numbers = text.partition(":")
        self.k, self.eta = 0, None
        if self.name == "consistency":
            k, comma, eta = numbers.partition(",eta=")
            self.k, self.eta = int(k), float(eta) if comma else None
            if not 1 <= self.k < 1 << 31 or not (self.eta is None or 0 < self.eta < np.inf):
                raise ValueError
            return
        highest = {"confidence": 1.0, "margin": 1.0, "entropy": sys.float_info.max}[self.name]
        self.never = -np.inf if self.name == "entropy" else np.inf
        thresholds, _, temperatures = numbers.partition(",t=")
        self.thresholds = [float(part) for part in thresholds.split("/")]
        self.temperatures = [float(part) for part in (temperatures or "1").split("/")]
        if not all(
            0 <= threshold <= highest or threshold == self.never for threshold in self.thresholds
        ):
            raise ValueError
        if not all(0 < t < np.inf for t in self.temperatures):
            raise ValueError

    def observe(self, k: int, logits: Array, memory: list[Array]) -> tuple[Array, list[Array]]:
        if self.k:
            return self._agree(logits, memory)
        threshold = np.float32(_at(self.thresholds, k, self.never))
        temperature = _at(self.temperatures, k, 1.0)
        if temperature != 1:
            logits = logits / np.float32(temperature)
        if self.name == "confidence":  # the largest of the softmax, whose power is 1
            powers = np.exp(logits - logits.max(1, keepdims=True))
            return 1 / powers.sum(1) >= threshold, []
        p = softmax(logits)
        if self.name == "margin":
            second, first = np.partition(p, -2, axis=1)[:, -2:].T
            return first - second >= threshold, []
        smallest = np.finfo(np.float32).tiny
        return -(p * np.log(np.maximum(p, smallest))).sum(1) <= threshold, []

    def _agree(self, logits: Array, memory: list[Array]) -> tuple[Array, list[Array]]:
        now = logits.argmax(1) if self.eta is None else logits[:, 0]
        count = np.zeros(len(logits), np.int64)
        if memory:
            before, count = memory
            same = now == before if self.eta is None else abs(now - before) < np.float32(self.eta)
            count = np.where(same, count + 1, 0)
        return count >= self.k, [now, count]


def _at(values: list[float], k: int, otherwise: float) -> float:
    if len(values) == 1:
        return values[0]
    return values[k] if k < len(values) else otherwise
