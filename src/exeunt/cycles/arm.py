"""Timings of Cortex-M processors, from Arm's technical reference manuals."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from exeunt.cycles.cost import Cost
from exeunt.cycles.instruction import Instruction, read_registers

_CONDITIONS = "eq|ne|cs|cc|hs|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le|al"
_BRANCH = re.compile(rf"b({_CONDITIONS})?$|cbn?z$")
_CALL = re.compile(r"bl$")
_INDIRECT = re.compile(rf"bl?x(ns)?({_CONDITIONS})?$")
_SINGLE = re.compile(r"(ldr|str)(s?[bh])?t?(ex[bh]?)?(" + _CONDITIONS + r")?$")
_PAIR = re.compile(r"(ldr|str)d")
_MANY = re.compile(r"(v?ldm|v?stm|v?push|v?pop)")
_DIVIDE = re.compile(r"[su]div")
_MULTIPLY = re.compile(r"(mul|mla|mls|[su]mull|[su]mlal|umaal|smla|smul|smmul|smml|smua|smus|smls)")
_NO_RESULT = re.compile(r"(cmp|cmn|tst|teq|b(?!ic|fi|fc)|it|nop|str|stm|push|pld|dsb|dmb|isb|v)")


@dataclass(frozen=True)
class CortexM4:
    """Cortex-M3 and Cortex-M4, and what is like them.

    Loads take two cycles, but the next load or store begins in the second. A store with a constant
    offset takes one. A taken branch takes `refill` more, one more again to an instruction of 4
    bytes that does not begin with a word, and another one if its target lies in a register. An
    address that the instruction before has worked out comes a cycle late.

    Attributes:
        source: where it is printed.
        refill: that the pipeline takes behind a direct branch; the manual says 1 to 3.
        indirect: more of them where the target lies in a register or in memory.
        unaligned: more of them to a wide instruction within a word.
        divide: the manual says 2 to 12.
        multiply_add: `mla` and `mls`.
        long_multiply: `smull` and `umull`; on the M3 3 to 5.
        long_multiply_add: `smlal` and `umlal`; on the M3 4 to 7.
        it: one, or none where it is folded into the instruction before.
    """

    source: str = "Cortex-M4 Technical Reference Manual r0p1, section 3.3 and table 7-1"
    refill: float = 1
    indirect: float = 1
    unaligned: float = 1
    divide: float = 7
    multiply_add: float = 1
    long_multiply: float = 1
    long_multiply_add: float = 1
    it: float = 1

    def cost(self, one: Instruction, before: Instruction | None, wide: bool) -> Cost:
        """See `Timings`."""
        name = one.name
        refill = self.refill + (self.unaligned if wide else 0)
        if _BRANCH.match(name) or _CALL.match(name):
            return Cost("branch", 1, 1 + refill)
        if _INDIRECT.match(name):
            return Cost("branch", 1, 1 + refill + self.indirect)
        if name in ("tbb", "tbh"):
            return Cost("branch", 6, 6)
        if _is_memory(one):
            return self._memory(one, before)
        if _DIVIDE.match(name):
            return Cost("divide", self.divide)
        if _MULTIPLY.match(name):
            return Cost("multiply", self._multiply(name))
        if name.startswith("it"):
            return Cost("other", self.it)
        return Cost("other", _float_cycles(name), 1 + refill + self.indirect)

    def bounds(self) -> tuple[CortexM4, CortexM4]:
        """See `Timings`."""
        m3 = self.long_multiply > 1
        low = replace(
            self, refill=1, indirect=0, unaligned=0, divide=2, it=0,
            long_multiply=3 if m3 else 1, long_multiply_add=4 if m3 else 1,
        )  # fmt: skip
        high = replace(
            self, refill=3, indirect=0, unaligned=0, divide=12,
            long_multiply=5 if m3 else 1, long_multiply_add=7 if m3 else 1,
        )  # fmt: skip
        return low, high

    def _multiply(self, name: str) -> float:
        if name.startswith(("mla", "mls")):
            return self.multiply_add
        if name.startswith(("smull", "umull")):
            return self.long_multiply
        if name.startswith(("smlal", "umlal")):
            return self.long_multiply_add
        return 1

    def _memory(self, one: Instruction, before: Instruction | None) -> Cost:
        store = one.name.startswith(("st", "vst", "push", "vpush"))
        kind = "store" if store else "load"
        late = 1 if before is not None and _works_out_address(before, one) else 0
        if _MANY.match(one.name) or _PAIR.match(one.name):
            count = 2 if _PAIR.match(one.name) else _registers_moved(one)
            jump = 1 + count + self.refill + self.indirect if "pc" in one.registers else 0
            return Cost(kind, 1 + count + late, jump)
        if "pc" in one.registers[:1]:
            return Cost(kind, 2 + late, 5)
        cycles = 1 if store and len(one.address_registers) == 1 else 2
        if before is not None and _runs_into(before, one):
            cycles = 1
        return Cost(kind, cycles + late)


@dataclass(frozen=True)
class CortexM0:
    """Cortex-M0, with the multiplier that takes one cycle.

    Loads and stores take two cycles, taken branches three, calls four; nothing depends on what
    stands beside it.

    Attributes:
        source: where it is printed.
    """

    source: str = "Cortex-M0 Technical Reference Manual r0p0, table 3-1"

    def cost(self, one: Instruction, before: Instruction | None, wide: bool) -> Cost:
        """See `Timings`."""
        name = one.name
        if _CALL.match(name):
            return Cost("branch", 4, 4)
        if _BRANCH.match(name) or _INDIRECT.match(name):
            return Cost("branch", 1, 3)
        if _MANY.match(name):
            kind = "store" if name.startswith(("st", "push")) else "load"
            count = _registers_moved(one)
            return Cost(kind, 1 + count, 4 + count - 1)
        if _is_memory(one):
            return Cost("store" if name.startswith("st") else "load", 2)
        if _MULTIPLY.match(name):
            return Cost("multiply", 1)
        if name.startswith(("mrs", "msr", "dsb", "dmb", "isb")):
            return Cost("other", 4)
        return Cost("other", 1, 3)

    def bounds(self) -> tuple[CortexM0, CortexM0]:
        """See `Timings`."""
        return self, self


def _is_memory(one: Instruction) -> bool:
    name = one.name
    return bool(_SINGLE.match(name) or _PAIR.match(name) or _MANY.match(name)) or name.startswith(
        ("vldr", "vstr")
    )


def _registers_moved(one: Instruction) -> int:
    """Of a list; a double counts twice."""
    inside = one.operands.partition("{")[2] or one.operands
    base = () if "{" in one.operands else one.registers[:1]
    moved = [name for name in read_registers(inside) if name not in base]
    return sum(2 if name.startswith("d") else 1 for name in moved)


def _works_out_address(before: Instruction, one: Instruction) -> bool:
    """Whether it is the result of the instruction before, which is none of memory."""
    if _is_memory(before) or _NO_RESULT.match(before.name):
        return False
    count = 2 if re.match(r"[su]m(ull|lal)", before.name) else 1
    base = one.address_registers or one.registers[:1]
    if _MANY.match(one.name):
        base = ("r13",) if one.name.startswith(("push", "pop", "vp")) else one.registers[:1]
    return any(name in base for name in before.registers[:count])


def _runs_into(before: Instruction, one: Instruction) -> bool:
    """Whether a load or store begins in the second cycle of the load before it."""
    if not before.name.startswith(("ldr", "vldr")) or _PAIR.match(before.name):
        return False
    loaded = before.registers[:1]
    return not any(name in one.address_registers for name in loaded) and "pc" not in loaded


def _float_cycles(name: str) -> float:
    if name.startswith(("vdiv", "vsqrt")):
        return 14
    if name.startswith(("vmla", "vmls", "vnmla", "vnmls", "vfma", "vfms", "vfnma", "vfnms")):
        return 3
    return 1
