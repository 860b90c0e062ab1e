"""Timings of a small RISC-V core."""

from __future__ import annotations

from dataclasses import dataclass, replace

from exeunt.cycles.cost import Cost
from exeunt.cycles.instruction import Instruction

_LOADS = ("lb", "lh", "lw", "lbu", "lhu", "lwsp")
_STORES = ("sb", "sh", "sw", "swsp")
_JUMPS = ("j", "jal", "jr", "jalr", "ret")


@dataclass(frozen=True)
class Cv32e40p:
    """OpenHW's CV32E40P, an RV32IMC with four stages.

    Attributes:
        source: where it is printed.
        divide: 3 to 35, by the leading zeros of the divisor.
    """

    source: str = "CV32E40P User Manual, section Pipeline Details"
    divide: float = 19

    def cost(self, one: Instruction, before: Instruction | None, wide: bool) -> Cost:
        """See `Timings`."""
        name = one.name.removeprefix("c.")
        extra = 1 if wide else 0
        late = 1 if before is not None and _waits(before, one) else 0
        if name in _LOADS:
            return Cost("load", 1 + late)
        if name in _STORES:
            return Cost("store", 1 + late)
        if name in _JUMPS:
            return Cost("branch", 2 + extra + late, 2 + extra + late)
        if name in ("beq", "bne", "blt", "bge", "bltu", "bgeu", "beqz", "bnez"):
            return Cost("branch", 1 + late, 3 + extra + late)
        if name.startswith("mul"):
            return Cost("multiply", (1 if name == "mul" else 5) + late)
        if name.startswith(("div", "rem")):
            return Cost("divide", self.divide + late)
        return Cost("other", (4 if name.startswith("csr") else 1) + late)

    def bounds(self) -> tuple[Cv32e40p, Cv32e40p]:
        """See `Timings`."""
        return replace(self, divide=3), replace(self, divide=35)


def _waits(before: Instruction, one: Instruction) -> bool:
    """Whether it needs what the load just before it brings."""
    if before.name.removeprefix("c.") not in _LOADS:
        return False
    name = one.name.removeprefix("c.")
    writes_first = name not in _STORES and not name.startswith(("b", "jr"))
    two_address = one.name.startswith("c.") and name in ("add", "sub", "and", "or", "xor", "mv")
    read = one.registers[1 if writes_first and not (two_address and name != "mv") else 0 :]
    return before.registers[0] in read
