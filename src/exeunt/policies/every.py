"""Several policies that must all say so."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

from torch import Tensor

from exeunt.errors import ExeuntError
from exeunt.policies.policy import Memory, ReadingPolicy
from exeunt.policies.readings import Reading


@dataclass(frozen=True)
class Every(ReadingPolicy):
    """Leaves at the first exit where every one of `parts` would leave.

    `Every((Consistency(2), Confidence(0.8)))` is patient and confident. A part that would have
    left earlier goes on looking, so its count goes on too.

    Raises:
        ExeuntError: There are fewer than two parts, or they are not all for the same task.
    """

    parts: tuple[ReadingPolicy, ...]

    def __post_init__(self) -> None:
        if len(self.parts) < 2:
            raise ExeuntError(f"two policies or more can be joined, got {len(self.parts)}")
        for part in self.parts:
            if not isinstance(part, ReadingPolicy) or isinstance(part, Every):
                raise ExeuntError(f"{part.spec!r} cannot be joined with other policies")
        if len({part.task for part in self.parts}) > 1:
            raise ExeuntError(f"{self.spec!r} joins policies for classes and for values")

    @property
    def remembers(self) -> int:  # type: ignore[override]
        return sum(part.remembers for part in self.parts)

    @property
    def task(self) -> str:
        return self.parts[0].task

    @property
    def spec(self) -> str:
        return "+".join(part.spec for part in self.parts)

    def __str__(self) -> str:
        return " and ".join(map(str, self.parts))

    def readings(self, exit_index: int) -> tuple[Reading, ...]:
        return tuple(reading for part in self.parts for reading in part.readings(exit_index))

    def decide(
        self, exit_index: int, values: tuple[Tensor, ...], memory: Memory
    ) -> tuple[Tensor, Memory]:
        kept: Memory = ()
        leave = None
        ends = list(accumulate(part.remembers for part in self.parts))
        position = 0
        for part, end in zip(self.parts, ends, strict=True):
            count = len(part.readings(exit_index))
            mine = memory[end - part.remembers : end]
            says, after = part.decide(exit_index, values[position : position + count], mine)
            leave = says if leave is None else leave & says
            kept, position = kept + after, position + count
        assert leave is not None
        return leave, kept
