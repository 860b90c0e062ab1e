"""What a program consists of, as `objdump` reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from exeunt.export.c.device import Program
from exeunt.export.c.host import run_tool

_LINE = re.compile(r"\s*([0-9a-f]+):\t([0-9a-f ]+?)\s*\t(\S+)\s*([^@;<]*)")
_REGISTER = re.compile(r"\b(?:r\d+|s[bplR]|ip|fp|lr|pc|[sd]\d+|[xa-t]\d+|ra|zero|gp|tp)\b")
_ALIASES = {"sb": "r9", "sl": "r10", "fp": "r11", "ip": "r12", "sp": "r13", "lr": "r14"}


@dataclass(frozen=True)
class Instruction:
    """One of a program.

    Attributes:
        at: its address.
        size_bytes: 2 or 4.
        name: without a suffix that tells its width.
        operands: as they are written.
    """

    at: int
    size_bytes: int
    name: str
    operands: str

    @cached_property
    def registers(self) -> tuple[str, ...]:
        """All that are named, those of a range too, in order."""
        return read_registers(self.operands)

    @cached_property
    def address_registers(self) -> tuple[str, ...]:
        """Those between brackets."""
        inside = re.findall(r"[\[(]([^\])]*)[\])]", self.operands)
        return read_registers(",".join(inside))

    @property
    def target(self) -> int | None:
        """Where a branch goes, if its operands say so."""
        word = self.operands.strip().rpartition(",")[2].strip()
        return int(word, 16) if re.fullmatch(r"[0-9a-f]+", word) else None


def read_registers(text: str) -> tuple[str, ...]:
    """Names of registers in a list of operands; `r4-r7` are four."""
    found: list[str] = []
    for word in re.split(r"[,\s{}\[\]()!]+", text):
        first, dash, last = word.partition("-")
        if dash and first[:1] == last[:1] and first[1:].isdecimal() and last[1:].isdecimal():
            found += [f"{first[0]}{k}" for k in range(int(first[1:]), int(last[1:]) + 1)]
        elif _REGISTER.fullmatch(word):
            found.append(_ALIASES.get(word, word))
    return tuple(found)


def disassemble(program: Program) -> dict[int, Instruction]:
    """Instructions of a program by their addresses.

    Raises:
        ExeuntError: `objdump` is missing or fails.
    """
    options = ["-M", "no-aliases"] if program.board.prefix.startswith("riscv") else []
    said = run_tool([f"{program.board.prefix}objdump", "-d", "-w", *options, str(program.path)])
    found = {}
    for match in filter(None, map(_LINE.match, said.splitlines())):
        at, size_bytes = int(match[1], 16), len(match[2].replace(" ", "")) // 2
        name = match[3].removesuffix(".n").removesuffix(".w")
        operands = match[4].partition(" # ")[0].strip()  # what RISC-V's says of them is no operand
        found[at] = Instruction(at, size_bytes, name, operands)
    return found
