"""What `exeunt bench` measured, as a table."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from exeunt.bench import Benchmark, Row
from exeunt.cli.render import show_facts, show_table
from exeunt.text import percent, short_spec


def show_timings(found: Benchmark) -> None:
    """Prints the machine, a line for each row, and what was left out and why."""
    machine, rows = found.machine, found.rows
    versions = ", ".join(f"{name} {value}" for name, value in machine["versions"].items())
    load = "" if machine["load"] is None else f", load {machine['load']} before"
    facts = [
        ("machine", f"{machine['processor']}, {machine['cores']} cores, {machine['system']}{load}"),
        ("measured on", f"{machine['threads']} thread(s), minima of {len(rows[0].timing.exits)}"),
        ("kernels", machine["kernels"]),
        ("versions", versions),
    ]
    facts += [("weights", line) for line in _weights(rows)]
    show_facts(facts)
    typer.echo()
    scored = any(row.score for row in rows)
    batch = rows[0].timing.images
    titles = [
        "model",
        "engine",
        "dtype",
        "first ms",
        "last ms",
        "median",
        "mean ms",
        "of first row",
    ]
    titles += [f"images/s of {batch}", *(["accuracy"] if scored else [])]
    base = _cost(rows[0])
    table = []
    for row in rows:
        cells = [row.candidate.workload.name, row.engine, row.dtype]
        cells += [f"{ms:.2f}" for ms in (row.timing.low_ms[0], row.timing.low_ms[-1])]
        cells += [
            f"{row.timing.median_ms[-1]:.2f}",
            "-" if row.mean_ms is None else f"{row.mean_ms:.2f}",
            f"{_cost(row) / base:.2f}",
            f"{row.timing.images_per_second:.0f}",
        ]
        if scored:
            cells.append("-" if row.score is None else percent(row.score.accuracy))
        table.append(cells)
    show_table(titles, table, "lll" + "r" * (len(titles) - 3))
    typer.echo()
    for name, reason in found.skipped:
        typer.echo(f"skipped: {name}: {reason}")


def _cost(row: Row) -> float:
    """Mean milliseconds, or those to the last exit where nobody knows where images leave."""
    return row.timing.low_ms[-1] if row.mean_ms is None else row.mean_ms


def _weights(rows: Sequence[Row]) -> list[str]:
    """What is known of each network's weights and of where its images leave, once for each."""
    lines = []
    for row in rows:
        one = row.candidate
        text = one.workload.name + (": random weights" if one.trained is None else ": trained")
        known = row.shares
        if known is None:
            text += ", nobody knows where images leave"
        elif known.samples:
            where = "test" if row.score else "calibration"
            text += f", {known.samples} {where} images leave by {short_spec(known.policy)}"
        if row.score is not None and row.dtype != "float32":
            text += f" ({row.engine}, {row.dtype})"
        lines.append(text)
    return list(dict.fromkeys(lines))
