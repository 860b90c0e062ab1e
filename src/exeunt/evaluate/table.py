"""The logits of every exit, recorded once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from exeunt.errors import ExeuntError
from exeunt.finite import require_finite_logits
from exeunt.policies import Reading, TopClass, Value

Task: TypeAlias = Literal["classification", "regression"]
DTYPES = {"float32": torch.float32, "float16": torch.float16}

_AT_ONCE = 2**18  # logits read at a time: few enough to stay in the processor's cache


@dataclass(frozen=True, eq=False)
class ExitTable:
    """The outputs of all E exits for N samples: all that policies and thresholds need to know.

    Attributes:
        logits: Outputs (E N K), float32, or float16: then whatever is worked out from them is
            defined on the rounded values, in float32. K = 1 for regression.
        targets: Class indices (N, int64) or values (N, float32).
        task: "classification" or "regression".
        exit_macs: Multiply-adds spent by a sample that leaves at each exit, cumulative (E).
        names: One name per sample (N).
        split: Which split the samples are: "train", "calibration", "test", or "all" of them.
        weights_fingerprint: `weights_fingerprint` of the net that was recorded.
        data_fingerprint: Hash that identifies the samples.
        class_names: Names of the K classes, in the order of the logits; empty where unknown.
        exit_ms: Milliseconds that a sample takes until it leaves at each exit, cumulative (E); None
            where nobody measured them.
        exit_bytes: Peak memory of a sample that leaves at each exit (E), the earlier exits
            included; None where unknown.

    Raises:
        ExeuntError: The parts do not fit each other, or there are no samples.
    """

    logits: Tensor
    targets: Tensor
    task: Task
    exit_macs: tuple[int, ...]
    names: tuple[str, ...]
    split: str
    weights_fingerprint: str
    data_fingerprint: str
    class_names: tuple[str, ...] = ()
    exit_ms: tuple[float, ...] | None = None
    exit_bytes: tuple[int, ...] | None = None
    _read: dict[tuple[Reading, int], Tensor] = field(default_factory=dict, init=False, repr=False)
    _finite: set[int] = field(default_factory=set, init=False, repr=False)

    def __post_init__(self) -> None:
        shape = tuple(self.logits.shape)
        if self.logits.ndim != 3 or self.logits.dtype not in DTYPES.values() or 0 in shape:
            raise ExeuntError(
                f"logits must be {' or '.join(DTYPES)} of shape (E N K) and not empty, "
                f"got {self.logits.dtype} of shape {shape}"
            )
        exits, samples, outputs = shape
        if self.task not in ("classification", "regression"):
            raise ExeuntError(f"task must be classification or regression, got {self.task!r}")
        if (self.task == "regression") != (outputs == 1):
            raise ExeuntError(
                f"{self.task} does not go with {outputs} outputs per exit; "
                "regression has 1, classification 2 or more"
            )
        kind = torch.int64 if self.task == "classification" else torch.float32
        if self.targets.dtype != kind:
            raise ExeuntError(f"targets of {self.task} must be {kind}, got {self.targets.dtype}")
        if self.targets.shape != (samples,) or len(self.names) != samples:
            raise ExeuntError(
                f"{samples} samples need as many targets and names, "
                f"got targets of shape {tuple(self.targets.shape)} and {len(self.names)} names"
            )
        if (
            self.task == "classification"
            and not 0 <= self.targets.min() <= self.targets.max() < outputs
        ):
            raise ExeuntError(
                f"class targets must be in 0..{outputs - 1}, "
                f"got {self.targets.min():g}..{self.targets.max():g}"
            )
        if self.class_names and (self.task, len(self.class_names)) != ("classification", outputs):
            raise ExeuntError(
                f"class_names must name the {outputs} outputs of a classification or be empty, "
                f"got {len(self.class_names)} for {self.task}"
            )
        check_exit_macs(self.exit_macs, exits)
        for name in ("exit_ms", "exit_bytes"):
            costs = getattr(self, name)
            if costs is not None:
                _check_costs(name, costs, exits)

    @property
    def num_exits(self) -> int:
        """E."""
        return len(self.logits)

    def __repr__(self) -> str:
        exits, samples, outputs = self.logits.shape
        dtype = str(self.logits.dtype).removeprefix("torch.")
        return (
            f"ExitTable({samples} samples, {exits} exits, {outputs} outputs, {dtype}, {self.split})"
        )

    def __len__(self) -> int:
        """The number of samples, N."""
        return len(self.targets)

    def of_exit(self, exit_index: int) -> Tensor:
        """The logits of one exit (N K), looked through for NaN and infinities the first time.

        Raises:
            ExeuntError: There are some; naming the exit and the first sample.
        """
        logits = self.logits[exit_index]
        if exit_index not in self._finite:
            for start, part in self._parts(logits):
                require_finite_logits(part, exit_index, partial(self._name, start))
            self._finite.add(exit_index)
        return logits

    def read(self, reading: Reading, exit_index: int) -> Tensor:
        """What `reading` finds in the logits of one exit (N,); worked out once, then kept.

        Raises:
            ExeuntError: As `of_exit`.
        """
        key = (reading, exit_index)
        if key not in self._read:
            parts = self._parts(self.of_exit(exit_index))
            self._read[key] = torch.cat([reading(part) for _, part in parts])
        return self._read[key]

    def _name(self, start: int, row: int) -> str:
        return self.names[start + row]

    @staticmethod
    def _parts(logits: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Some rows at a time, with the number of the first."""
        rows = max(1, _AT_ONCE // logits.shape[1])
        return zip(range(0, len(logits), rows), torch.split(logits, rows), strict=True)

    def predictions(self, exit_index: int) -> Tensor:
        """What one exit says of each sample (N,): a class index, or a value in float32."""
        return self.read(TopClass() if self.task == "classification" else Value(), exit_index)


def check_exit_macs(exit_macs: Sequence[int], num_exits: int) -> None:
    """Refuses costs that are not one for each exit, cumulative.

    Raises:
        ExeuntError: Naming them.
    """
    _check_costs("exit_macs", exit_macs, num_exits)


def _check_costs(name: str, costs: Sequence[float], num_exits: int) -> None:
    if len(costs) != num_exits:
        raise ExeuntError(f"{name} needs one number per exit ({num_exits}), got {costs}")
    if not all(map(math.isfinite, costs)):
        raise ExeuntError(f"{name} must be finite, got {costs}")
    if sorted(costs) != list(costs) or costs[0] < 0 or costs[-1] <= 0:
        raise ExeuntError(f"{name} must be cumulative and end above 0, got {costs}")
