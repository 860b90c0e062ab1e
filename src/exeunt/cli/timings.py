"""What `exeunt bench` measured, as a table, JSON Lines, CSV or a picture."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from exeunt.bench import Timing
from exeunt.bench.score import Score
from exeunt.cli.benchmarked import Candidate
from exeunt.cli.render import percent, short_spec, show_facts, show_table
from exeunt.files import AS_NAMED, replacing
from exeunt.profile import Shares
from exeunt.report.latency_figure import LatencySeries, latency_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Row:
    """A network in an engine.

    Attributes:
        candidate: the network.
        engine: its name.
        dtype: of its numbers.
        timing: what it takes.
        score: what it gets right; None where nobody knows.
    """

    candidate: Candidate
    engine: str
    dtype: str
    timing: Timing
    score: Score | None

    @property
    def shares(self) -> Shares | None:
        """Where images leave; None where nobody knows."""
        return self.score.shares if self.score else self.candidate.shares

    @property
    def mean_ms(self) -> float | None:
        """Milliseconds of an image on average; None where nobody knows where images leave."""
        return None if self.shares is None else self.timing.mean_ms(self.shares.shares)

    def to_json(self) -> dict[str, Any]:
        """Under stable keys."""
        found: dict[str, Any] = {
            "model": self.candidate.subject.name,
            "weights": "random" if self.candidate.trained is None else "trained",
            "engine": self.engine,
            "dtype": self.dtype,
            "image_size": list(self.candidate.subject.transform.image_size),
            "runs": len(self.timing.exits),
            "min_ms": list(self.timing.low_ms),
            "median_ms": list(self.timing.median_ms),
            "batch": self.timing.images,
            "images_per_second": self.timing.images_per_second,
        }
        if self.shares is not None:
            found |= {
                "policy": self.shares.policy,
                "exit_shares": list(self.shares.shares),
                "shares_of": self.shares.samples,
                "mean_ms": self.mean_ms,
            }
        if self.score is not None:
            found |= {
                "accuracy": self.score.accuracy,
                "exit_accuracy": list(self.score.exits),
                "mean_macs": self.score.mean_macs,
            }
        return found


def show_timings(
    machine: dict[str, Any], rows: Sequence[Row], skipped: Sequence[tuple[str, str]]
) -> None:
    """Prints the machine, a line for each row, and what was left out and why."""
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
        cells = [row.candidate.subject.name, row.engine, row.dtype]
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
    for name, reason in skipped:
        typer.echo(f"skipped: {name}: {reason}")


def _cost(row: Row) -> float:
    """Mean milliseconds, or those to the last exit where nobody knows where images leave."""
    return row.timing.low_ms[-1] if row.mean_ms is None else row.mean_ms


def _weights(rows: Sequence[Row]) -> list[str]:
    """What is known of each network's weights and of where its images leave, once for each."""
    lines = []
    for row in rows:
        one = row.candidate
        text = one.subject.name + (": random weights" if one.trained is None else ": trained")
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


def write_timings(path: Path, rows: Sequence[Row]) -> None:
    """Writes a row for each exit of each network in each engine, and one for the mean.

    Raises:
        OSError: when the file cannot be written.
    """
    columns = (
        *("model", "weights", "engine", "dtype", "image_size", "exit", "share", "min_ms"),
        *("median_ms", "accuracy", "mean_macs", "policy", "batch", "images_per_second"),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors=AS_NAMED) as file,
    ):
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        for row in rows:
            found = row.to_json()
            common = {key: found[key] for key in ("model", "weights", "engine", "dtype")}
            common["image_size"] = "x".join(map(str, found["image_size"]))
            shares = found.get("exit_shares", [""] * len(found["min_ms"]))
            accuracies = found.get("exit_accuracy", [""] * len(shares))
            both = zip(shares, found["min_ms"], found["median_ms"], accuracies, strict=True)
            for number, values in enumerate(both, 1):
                names = ("share", "min_ms", "median_ms", "accuracy")
                cells = dict(zip(names, values, strict=True))
                writer.writerow({**common, "exit": number, **cells})
            if "mean_ms" in found:
                keys = ("accuracy", "mean_macs", "policy", "batch", "images_per_second")
                cells = {key: found[key] for key in keys if key in found}
                writer.writerow({**common, "exit": "mean", "min_ms": found["mean_ms"], **cells})


def figure_of(rows: Sequence[Row], machine: dict[str, Any]) -> Figure:
    """Draws accuracy against milliseconds, one panel for each engine and type of number.

    Raises:
        ExeuntError: as `latency_figure`.
    """
    panels: dict[str, list[LatencySeries]] = {}
    for row in rows:
        if row.score is None:
            continue
        taken, score = row.timing.low_ms, row.score
        counts = {
            k: (row.timing.mean_ms(shares), accuracy)
            for k, (accuracy, shares) in score.counts.items()
        }
        exits = tuple(zip(taken, score.exits, strict=True))
        series = LatencySeries(row.candidate.subject.name, exits, counts)
        panels.setdefault(f"{row.engine}, {row.dtype}", []).append(series)
    title = f"What a millisecond buys: {machine['processor']}, {machine['threads']} thread(s)"
    return latency_figure(panels, title)
