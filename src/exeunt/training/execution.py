"""How a training run executes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from exeunt.training.loggers import Logger
from exeunt.training.processes import Alone, Processes
from exeunt.training.progress import Progress, Quiet


@dataclass(frozen=True)
class Execution:
    """How a run executes; nothing here changes what is computed, but for rounding.

    Attributes:
        processes: that train together, and where they compute.
        workers: processes that load images; 0 loads in the training process.
        command: what the user typed, kept with the weights.
        progress: told of every step and epoch.
        loggers: told of every epoch and of the figures at the end, at the first process.
    """

    processes: Processes = field(default_factory=Alone)
    workers: int = 0
    command: str = "exeunt.training.train(...)"
    progress: Progress = field(default_factory=Quiet)
    loggers: Sequence[Logger] = ()
