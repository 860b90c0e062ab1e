"""What is estimated, in words."""

from __future__ import annotations

from typing import Any

from exeunt.text import millions


def cycle_table(facts: dict[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]], list[str]]:
    """Header, rows and notes of what `cycle_facts` gives, a row for each exit and the policy.

    A column is left out where nothing is known: of flash and of energy.
    """
    flash, energy = facts["flash"] is not None, "mj" in facts["policy"]
    header = ["exit", "cycles", "between", "ms", *(["ms, flash"] * flash), *(["mJ"] * energy)]
    names = [*map(str, range(1, len(facts["exits"]) + 1)), "policy"]
    rows = []
    for name, one in zip(names, [*facts["exits"], facts["policy"]], strict=True):
        row = [name, millions(one["cycles"])]
        row += [f"{millions(one['low_cycles'])[:-2]} to {millions(one['high_cycles'])}"]
        row += [f"{one['ms']:.1f}"]
        row += [f"{one['flash_ms']:.1f}" for _ in range(flash)]
        row += [f"{one['mj'][0]:.2f} to {one['mj'][1]:.2f}" for _ in range(energy)]
        rows.append(tuple(row))
    notes = [
        f"cycles are an estimate: instructions that ran, by kind, times {facts['core']}'s timings",
        f"ms: at {facts['clock_mhz']:g} MHz ({facts['part']}), without wait states",
    ]
    if flash:
        notes.append(f"ms, flash: if flash has {facts['flash']}")
    if energy:
        notes.append(f"mJ: of {facts['energy_source']}")
    return tuple(header), rows, notes
