"""The logits of every exit, recorded once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from exeunt.errors import ExeuntError
from exeunt.policies import Reading

Task: TypeAlias = Literal["classification", "regression"]

_ROWS = 8192  # read at a time


@dataclass(frozen=True, eq=False)
class ExitTable:
    """The outputs of all E exits for N samples: all that policies and thresholds need to know.

    Attributes:
        logits: Outputs (E N K), float32; K = 1 for regression.
        targets: Class indices (N, int64) or values (N, float32).
        task: "classification" or "regression".
        exit_macs: Multiply-adds spent by a sample that leaves at each exit, cumulative (E).
        names: One name per sample (N).
        split: Which split the samples are: "train", "calibration" or "test".
        weights_fingerprint: `weights_fingerprint` of the net that was recorded.
        data_fingerprint: Hash that identifies the samples.

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
    _read: dict[tuple[Reading, int], Tensor] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        shape = tuple(self.logits.shape)
        if self.logits.ndim != 3 or self.logits.dtype != torch.float32 or 0 in shape:
            raise ExeuntError(
                f"logits must be float32 of shape (E N K) and not empty, "
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
        check_exit_macs(self.exit_macs, exits)

    @property
    def num_exits(self) -> int:
        """E."""
        return len(self.logits)

    def __len__(self) -> int:
        """The number of samples, N."""
        return len(self.targets)

    def read(self, reading: Reading, exit_index: int) -> Tensor:
        """What `reading` finds in the logits of one exit (N,); worked out once, then kept."""
        key = (reading, exit_index)
        if key not in self._read:
            rows = torch.split(self.logits[exit_index], _ROWS)
            self._read[key] = torch.cat([reading(part) for part in rows])
        return self._read[key]


def check_exit_macs(exit_macs: Sequence[int], num_exits: int) -> None:
    """Refuses costs that are not one for each exit, cumulative.

    Raises:
        ExeuntError: Naming them.
    """
    if len(exit_macs) != num_exits:
        raise ExeuntError(f"exit_macs needs one number per exit ({num_exits}), got {exit_macs}")
    if sorted(exit_macs) != list(exit_macs) or exit_macs[0] < 0 or exit_macs[-1] <= 0:
        raise ExeuntError(f"exit_macs must be cumulative and end above 0, got {exit_macs}")
