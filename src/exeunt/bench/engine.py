"""What an engine is: it opens a network as stages that can be run one by one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from exeunt.bench.workload import Workload
from exeunt.errors import ExeuntError

Array = NDArray[np.float32]


class RefusedError(ExeuntError):
    """Raised by an engine that cannot take a network; the message is the reason."""


def refusal(error: Exception) -> RefusedError:
    """Of whatever a converter makes of a network: its kind, and the first line that it says."""
    said = str(error).strip().partition("\n")[0]
    return RefusedError(f"{type(error).__name__}: {said}")


class Opened(Protocol):
    """A network that is open.

    Attributes:
        exits: a network that gives the same logits for tensors (N, C, H, W), to be recorded where
            they are not those of the float32 network; None where they are.
    """

    exits: Any

    def start(self) -> None:
        """Takes the workload's first picture up."""
        ...

    def step(self, k: int) -> Array:
        """Runs stage k (from 0) on it: logits (1, K)."""
        ...

    def batch(self, leaving: Sequence[int]) -> None:
        """Runs all pictures; each leaves at its exit (from 0), and no stage behind runs on it."""
        ...


class OneByOne(ABC):
    """How engines run a batch that take one image at a time."""

    exits: Any = None

    def start(self) -> None:
        self.take(0)

    @abstractmethod
    def take(self, picture: int) -> None:
        """Takes up the picture of that number."""

    @abstractmethod
    def step(self, k: int) -> Array:
        """As `Opened` has it."""

    def batch(self, leaving: Sequence[int]) -> None:
        for picture, last in enumerate(leaving):
            self.take(picture)
            for k in range(last + 1):
                self.step(k)


class Engine(Protocol):
    """Something that runs networks.

    Attributes:
        name: as `--engines` has it.
        packages: what has to be importable.
        install: what installs them.
        dtypes: of the numbers that it computes with.
    """

    name: str
    packages: tuple[str, ...]
    install: str
    dtypes: tuple[str, ...]

    def open(self, workload: Workload, dtype: str, threads: int, folder: Path) -> Opened:
        """Opens a network.

        Args:
            workload: the network.
            dtype: one of `dtypes`.
            threads: that it runs on.
            folder: an empty one, to write into.

        Raises:
            RefusedError: it cannot take this one.
        """
        ...


class AssignedExits:
    """A policy that lets every image leave where it was told to: for measuring only.

    Args:
        leaving: exits (from 0) of N images, as an array or a tensor, as the logits are.
    """

    spec = "assigned_exits"

    def __init__(self, leaving: Any) -> None:
        self._leaving, self._taken = leaving, 0

    def observe(self, exit_index: int, logits: Any, memory: Any) -> tuple[Any, Any]:
        """As `exeunt.policies` and `exeunt.runner` have it; batches may come in parts."""
        if exit_index == 0:
            first = self._taken
            self._taken += len(logits)
            memory = (self._leaving[first : self._taken],)
        return memory[0] == exit_index, memory


def missing(engine: Engine) -> list[str]:
    """What has to be installed for an engine and is not."""
    return [package for package in engine.packages if find_spec(package) is None]


def package_version(package: str) -> str:
    """What is installed of it, or `-`."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "-"
