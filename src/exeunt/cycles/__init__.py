"""Processor cycles, estimated from published timings and what an emulator executes."""

from exeunt.cycles.count import Counts, count_blocks
from exeunt.cycles.estimate import (
    CycleEstimate,
    cycle_facts,
    estimate_counts,
    estimate_run,
    exit_cycles,
)
from exeunt.cycles.parts import PARTS, Part, find_part
from exeunt.cycles.table import cycle_table

__all__ = [
    "PARTS",
    "Counts",
    "CycleEstimate",
    "Part",
    "count_blocks",
    "cycle_facts",
    "cycle_table",
    "estimate_counts",
    "estimate_run",
    "exit_cycles",
    "find_part",
]
