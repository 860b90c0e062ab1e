"""Cycles from counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exeunt.cycles.cost import Cost, Timings
from exeunt.cycles.count import Counts, count_blocks
from exeunt.cycles.instruction import Instruction, disassemble
from exeunt.cycles.parts import Part, find_part
from exeunt.errors import ExeuntError
from exeunt.export.c.device import Program


@dataclass(frozen=True)
class CycleEstimate:
    """Cycles of a stretch of a program.

    Attributes:
        cycles: without wait states.
        low: with the least that the timings' source allows wherever it leaves it open.
        high: with the most.
        waiting: that flash takes more, as a part's is assumed.
        kinds: instructions and cycles of loads, stores, multiplications, divisions, branches that
            are taken, branches that are not, and others.
    """

    cycles: float
    low: float
    high: float
    waiting: float
    kinds: dict[str, tuple[int, float]]

    def __add__(self, other: CycleEstimate) -> CycleEstimate:
        kinds = dict(self.kinds)
        for kind, (count, cycles) in other.kinds.items():
            had = kinds.get(kind, (0, 0.0))
            kinds[kind] = (had[0] + count, had[1] + cycles)
        return CycleEstimate(
            self.cycles + other.cycles,
            self.low + other.low,
            self.high + other.high,
            self.waiting + other.waiting,
            kinds,
        )


def estimate_counts(
    counts: Counts, instructions: dict[int, Instruction], part: Part
) -> CycleEstimate:
    """Cycles of what was counted.

    Args:
        counts: blocks, and how often they ran.
        instructions: of the program, by address.
        part: whose rules hold.

    Raises:
        ExeuntError: a block holds what is no instruction of the program.
    """
    low, high = part.timings.bounds()
    kinds: dict[str, list[float]] = defaultdict(lambda: [0, 0.0])
    for kind, count, cycles in _kinds(counts, instructions, part.timings):
        kinds[kind][0] += count
        kinds[kind][1] += cycles
    totals = [
        sum(cycles for *_, cycles in _kinds(counts, instructions, timings))
        for timings in (part.timings, low, high)
    ]
    first, least, most = (total + counts.unaligned_cycles for total in totals)
    waiting = 0
    if part.flash is not None:
        waiting = part.flash.wait_states * (counts.code_misses + counts.constant_misses)
    found = {kind: (int(count), cycles) for kind, (count, cycles) in kinds.items()}
    return CycleEstimate(first, least, most, waiting, found)


def estimate_run(program: Program, images: Path, count: int, device: str) -> list[CycleEstimate]:
    """Cycles of a program of a device between its answers: one estimate for each.

    Args:
        program: that was built for it.
        images: raw ones, one after the other.
        count: how many.
        device: one of `PARTS`.

    Raises:
        ExeuntError: for another device, a missing tool, or a program that fails.
    """
    part = find_part(device)
    instructions = disassemble(program)
    counted = count_blocks(program, images, count, part.flash)
    return [estimate_counts(counts, instructions, part) for counts in counted]


def exit_cycles(parts: Sequence[CycleEstimate], exits: int) -> list[CycleEstimate]:
    """From the estimates between answers those of each image up to each answer."""
    found: list[CycleEstimate] = []
    for number, part in enumerate(parts):
        found.append(part if number % exits == 0 else found[-1] + part)
    return found


def cycle_facts(
    found: Sequence[CycleEstimate], exits: int, taken: Sequence[int], part: Part
) -> dict[str, Any]:
    """What is told of them.

    Args:
        found: of `exit_cycles`, image after image.
        exits: E.
        taken: index of the exit that each image took.
        part: of the estimate.
    """
    by_exit = [found[k::exits] for k in range(exits)]
    by_policy = [found[n * exits + k] for n, k in enumerate(taken)]
    rows = [_mean_facts(one, part) for one in (*by_exit, by_policy)]
    facts: dict[str, Any] = {
        "core": part.core,
        "timings": part.timings.source,
        "part": part.name,
        "clock_mhz": part.clock_mhz,
        "flash": None if part.flash is None else str(part.flash),
        "energy_source": part.energy_source,
        "exits": rows[:-1],
        "policy": rows[-1],
    }
    return facts


def _mean_facts(found: Sequence[CycleEstimate], part: Part) -> dict[str, Any]:
    """Of estimates of several images, on average."""
    count = len(found)
    cycles = sum(one.cycles for one in found) / count
    waited = cycles + sum(one.waiting for one in found) / count
    per_ms = part.clock_mhz * 1000
    facts: dict[str, Any] = {
        "cycles": round(cycles),
        "low_cycles": round(sum(one.low for one in found) / count),
        "high_cycles": round(sum(one.high for one in found) / count),
        "ms": cycles / per_ms,
    }
    if part.flash is not None:
        facts |= {"flash_cycles": round(waited), "flash_ms": waited / per_ms}
    if part.cycle_nj is not None:
        facts["mj"] = [cycles * part.cycle_nj[0] / 1e6, waited * part.cycle_nj[1] / 1e6]
    total = found[0]
    for one in found[1:]:
        total = total + one
    facts["kinds"] = {
        kind: {"instructions": round(number / count), "cycles": round(spent / count)}
        for kind, (number, spent) in sorted(total.kinds.items())
    }
    return facts


def _kinds(
    counts: Counts, instructions: dict[int, Instruction], timings: Timings
) -> list[tuple[str, int, float]]:
    """Kind, number and cycles of every instruction that was executed."""
    found = []
    for at, length, count, taken in counts.blocks:
        before = None
        for position in range(length):
            one = instructions.get(at)
            if one is None:
                raise ExeuntError(f"{at:#x} was executed, but is no instruction that objdump knows")
            target = instructions.get(one.target) if one.target is not None else None
            wide = target is not None and target.size_bytes == 4 and target.at % 4 != 0
            cost = timings.cost(one, before, wide)
            jumps = taken if position == length - 1 and cost.taken_cycles else 0
            found += _split(cost, count, jumps)
            before, at = one, at + one.size_bytes
    return found


def _split(cost: Cost, count: int, jumps: int) -> list[tuple[str, int, float]]:
    """Those that went on, and those that jumped."""
    names = ("branch not taken", "branch taken") if cost.kind == "branch" else (cost.kind,) * 2
    rows = [(names[0], count - jumps, (count - jumps) * cost.cycles)]
    return [*rows, (names[1], jumps, jumps * cost.taken_cycles)] if jumps else rows
