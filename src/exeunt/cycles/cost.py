"""What an instruction takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from exeunt.cycles.instruction import Instruction


@dataclass(frozen=True)
class Cost:
    """Cycles of an instruction where it stands.

    Attributes:
        kind: `load`, `store`, `multiply`, `divide`, `branch` or `other`.
        cycles: that it takes, as a branch when it is not taken.
        taken_cycles: that a branch takes when it is.
    """

    kind: str
    cycles: float
    taken_cycles: float = 0

    def plus(self, cycles: float) -> Cost:
        """With so many more."""
        return replace(self, cycles=self.cycles + cycles)


class Timings(Protocol):
    """The rules of a processor.

    Attributes:
        source: where they are printed.
    """

    @property
    def source(self) -> str: ...

    def cost(self, one: Instruction, before: Instruction | None, wide: bool) -> Cost:
        """What `one` takes behind `before`, which ran just before it, or behind a branch.

        `wide` tells that a branch goes to an instruction of 4 bytes that begins within a word.
        """
        ...

    def bounds(self) -> tuple[Timings, Timings]:
        """The same with the least and the most wherever the source leaves it open."""
        ...
