"""What a run on a device tells of memory and instructions."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exeunt.export.c import count_instructions

if TYPE_CHECKING:
    from exeunt.export.c import Bundle, Comparison, DeviceRun, ExportReport


def device_facts(bundle: Bundle, run: DeviceRun, found: Comparison) -> dict[str, Any]:
    """RAM, flash and instructions."""
    per_exit = [run.instructions[k :: found.exits] for k in range(found.exits)]
    means = [sum(counts) / len(counts) for counts in per_exit]
    taken = [run.instructions[n * found.exits + int(k)] for n, k in enumerate(found.exit_index)]
    return {
        "memory": memory_parts(bundle.report, run),
        "flash": {"code_bytes": run.code_bytes, "weights_bytes": run.weights_bytes},
        "exit_instructions": tuple(means),
        "mean_instructions": sum(taken) / len(taken),
        "instructions_per_mac": means[-1] / bundle.report.exit_macs[-1],
    }


def memory_parts(report: ExportReport, run: DeviceRun) -> dict[str, int]:
    """What all of the RAM is for: arena, state, stack and alignment add up to the total.

    `row_window_bytes` are part of the arena; `alignment_bytes` are what the fence, which comes in
    steps of 32 bytes, and the stack, in steps of 8, leave over.
    """
    arena_bytes = report.memory["arena_bytes"]
    return {
        "arena_bytes": arena_bytes,
        "row_window_bytes": report.memory["row_window_bytes"],
        "state_bytes": run.data_bytes - arena_bytes,
        "stack_bytes": run.stack_bytes,
        "alignment_bytes": run.total_bytes - run.data_bytes - run.stack_bytes,
        "total_bytes": run.total_bytes,
    }


def operator_facts(bundle: Bundle, image: Path, device: str) -> tuple[dict[str, Any], ...]:
    """Multiply-adds and instructions of every kind of operator, for the first image, all exits."""
    nodes = bundle.report.nodes
    counts = count_instructions(bundle.folder, bundle.report.name, image, len(nodes), device)
    total = {"macs": 0, "instructions": 0, "count": 0}
    found: dict[str, dict[str, int]] = defaultdict(total.copy)
    for node, instructions in zip(nodes, counts, strict=False):
        of = found[node["operator"]]
        of["macs"] += node["macs"]
        of["instructions"] += instructions
        of["count"] += 1
    found["the image"] |= {"instructions": counts[-1], "count": 1}
    ordered = sorted(found.items(), key=lambda item: -item[1]["instructions"])
    return tuple({"operator": kind, **of} for kind, of in ordered)
