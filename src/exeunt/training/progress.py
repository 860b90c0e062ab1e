"""What a training run tells whoever watches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from exeunt.data import Source, Splits
from exeunt.models import WeightsInfo
from exeunt.training.config import TrainConfig


class Progress(Protocol):
    """Called by the loop as a run goes on; exits are in order, accuracies 0 to 1."""

    def data(self, source: Source, splits: Splits) -> None:
        """First of all, with what is trained on."""

    def start(self, config: TrainConfig, splits: Splits, done: int) -> None:
        """Before the first epoch; `done` epochs stand already."""

    def step(
        self, epoch: int, batch: int, batches: int, losses: np.ndarray, scores: np.ndarray
    ) -> None:
        """After every batch (0-based), with the means of this epoch so far, (E,) each."""

    def epoch(self, entry: dict[str, Any]) -> None:
        """After every epoch, with its row of `metrics.csv`."""

    def chose(self, reason: str) -> None:
        """When the policy to store has been chosen, with what is known of it."""

    def interrupted(self, command: str) -> None:
        """When the user stops the run, with the command that goes on."""

    def finish(self, info: WeightsInfo, unreadable: Mapping[str, str]) -> None:
        """At the end, with the weights' metadata and the images that were skipped, by name, each
        with the reason.
        """


class Quiet:
    """Says nothing."""

    def data(self, source: Source, splits: Splits) -> None:
        pass

    def start(self, config: TrainConfig, splits: Splits, done: int) -> None:
        pass

    def step(
        self, epoch: int, batch: int, batches: int, losses: np.ndarray, scores: np.ndarray
    ) -> None:
        pass

    def epoch(self, entry: dict[str, Any]) -> None:
        pass

    def chose(self, reason: str) -> None:
        pass

    def interrupted(self, command: str) -> None:
        pass

    def finish(self, info: WeightsInfo, unreadable: Mapping[str, str]) -> None:
        pass
