"""The logits of every exit, recorded once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from exeunt.errors import ExeuntError
from exeunt.evaluate.numbers import as_tensor
from exeunt.finite import require_finite_logits
from exeunt.html import html_facts, html_table
from exeunt.policies import Reading, TopClass, Value
from exeunt.text import millions

Task: TypeAlias = Literal["classification", "regression"]
DTYPES = {"float32": torch.float32, "float16": torch.float16}
NOT_STATED = "not stated"
"""The split or a fingerprint of a table of which nobody knows it."""

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
        split: Which split the samples are: "train", "calibration", "test", or "all" of them;
            `NOT_STATED` where that is unknown, as may be the fingerprints.
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

    @classmethod
    def from_logits(
        cls,
        logits: Any,
        targets: Any,
        costs: Sequence[float],
        *,
        task: Task | None = None,
        names: Sequence[str] | None = None,
        split: str = NOT_STATED,
        class_names: Sequence[str] = (),
        weights_fingerprint: str = NOT_STATED,
        data_fingerprint: str = NOT_STATED,
        exit_ms: Sequence[float] | None = None,
        exit_bytes: Sequence[int] | None = None,
    ) -> ExitTable:
        """A table of logits that anything recorded, of torch, NumPy or lists.

        Args:
            logits: Outputs (E N K), or E of them (N K); for regression (E N 1), (E N) or E of (N).
                float64 and bfloat16 become float32, float16 stays.
            targets: N class indices, or values for regression.
            costs: Multiply-adds of a sample that leaves at each exit, cumulative (E): whole
                numbers. Budgets in another unit are in that unit.
            task: By default regression where there is one output, else classification.
            names: One for each sample; by default "0", "1", ...
            split: Which one this is. Policies are chosen with a warning where that is unknown, and
                never on "test".
            class_names: K of them.
            weights_fingerprint: Of the net.
            data_fingerprint: Of the samples.
            exit_ms: Milliseconds until a sample leaves at each exit (E).
            exit_bytes: Peak memory of a sample that leaves at each exit (E).

        Raises:
            ExeuntError: What was given cannot be read as numbers, or the parts do not fit.
        """
        outputs = _outputs_of(logits)
        labels = as_tensor("targets", targets)
        task = task or ("regression" if outputs.shape[-1] == 1 else "classification")
        if task == "classification" and labels.is_floating_point():
            raise ExeuntError(
                f"targets of classification are class indices, whole numbers, not {labels.dtype}"
            )
        labels = labels.to(torch.int64 if task == "classification" else torch.float32)
        _check_costs("costs", list(costs), len(outputs))
        for cost in costs:
            if cost != int(cost):
                raise ExeuntError(
                    f"costs are multiply-adds, whole numbers, and {cost:g} is none; give shares of "
                    "a whole as millionths of it, for example"
                )
        return cls(
            logits=outputs,
            targets=labels,
            task=task,
            exit_macs=tuple(map(int, costs)),
            names=tuple(map(str, range(len(labels)) if names is None else names)),
            split=split,
            weights_fingerprint=weights_fingerprint,
            data_fingerprint=data_fingerprint,
            class_names=tuple(class_names),
            exit_ms=None if exit_ms is None else tuple(map(float, exit_ms)),
            exit_bytes=None if exit_bytes is None else tuple(map(int, exit_bytes)),
        )

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

    def _repr_html_(self) -> str:
        facts = [("table", repr(self)), ("weights", self.weights_fingerprint)]
        columns, rows = ["exit", "MACs"], [[str(k + 1)] for k in range(self.num_exits)]
        for row, macs in zip(rows, self.exit_macs, strict=True):
            row.append(millions(macs))
        for name, costs in (("ms", self.exit_ms), ("bytes", self.exit_bytes)):
            if costs is not None:
                columns.append(name)
                for row, cost in zip(rows, costs, strict=True):
                    row.append(f"{cost:,.4g}" if name == "ms" else f"{cost:,}")
        return html_facts([*facts, ("data", self.data_fingerprint)]) + html_table(
            columns, rows, "r" * len(columns)
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

    @cached_property
    def all_predictions(self) -> Tensor:
        """`predictions` of all exits (E N)."""
        return torch.stack([self.predictions(k) for k in range(self.num_exits)])


def _outputs_of(logits: Any) -> Tensor:
    """Logits (E N K) of float32 or float16, from one array or from one for each exit.

    Raises:
        ExeuntError: They are no floating-point numbers, of different shapes, or out of float32.
    """
    if isinstance(logits, list | tuple):
        exits = [as_tensor(f"logits of exit {k}", exit) for k, exit in enumerate(logits, 1)]
        shapes = [tuple(exit.shape) for exit in exits]
        if not exits or len(set(shapes)) > 1:
            raise ExeuntError(f"logits need (N K) for each exit, all of one shape, got {shapes}")
        outputs = torch.stack(exits)
    else:
        outputs = as_tensor("logits", logits)
    if not outputs.is_floating_point():
        raise ExeuntError(f"logits must be floating-point numbers, not {outputs.dtype}")
    if outputs.ndim == 2:  # values of regression
        outputs = outputs.unsqueeze(2)
    if outputs.dtype not in DTYPES.values():
        wide = outputs
        outputs = wide.float()
        if (outputs.isinf() & ~wide.isinf()).any():
            raise ExeuntError(f"a logit of {wide.abs().max():g} does not fit float32")
    return outputs


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
