"""Stages in a row, and the state that goes from one to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from exeunt.runner.array import Array
from exeunt.runner.engine import Session

State = dict[str, Array]
"""Tensors (N, ...) by name."""


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        inputs: names of the tensors that it reads.
        logits: name of the tensor that its exit gives.
        passed_on: names of tensors that later stages read and that it does not touch.
        session: what runs it.
    """

    inputs: tuple[str, ...]
    logits: str
    passed_on: tuple[str, ...]
    session: Session


@dataclass(frozen=True)
class Chain:
    """All stages of a network.

    Attributes:
        image: name of the image among the tensors.
        stages: E of them.
    """

    image: str
    stages: Sequence[Stage]

    def begin(self, images: Array) -> State:
        """The state before the first stage, from images (N, C, H, W)."""
        return {self.image: images}

    def step(self, k: int, state: State) -> tuple[Array, State]:
        """Runs stage k (from 0): logits (N, K) of its exit, and the state for stage k + 1."""
        stage = self.stages[k]
        found = stage.session.run({name: state[name] for name in stage.inputs})
        return found[stage.logits], {name: state[name] for name in stage.passed_on} | found

    def forward(self, images: Array) -> Array:
        """Logits of every exit (E, N, K), nobody leaving."""
        state, exits = self.begin(images), []
        for k in range(len(self.stages)):
            logits, state = self.step(k, state)
            exits.append(logits.astype(np.float32))
        return np.stack(exits)
