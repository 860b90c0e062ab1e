"""What a network takes in an engine, as a row of a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exeunt.bench.candidates import Candidate
from exeunt.bench.measure import Timing
from exeunt.bench.score import Score
from exeunt.files import write_csv
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

    def to_dict(self) -> dict[str, Any]:
        """Under stable keys."""
        found: dict[str, Any] = {
            "model": self.candidate.workload.name,
            "weights": "random" if self.candidate.trained is None else "trained",
            "engine": self.engine,
            "dtype": self.dtype,
            "image_size": list(self.candidate.workload.transform.image_size),
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


def write_timings(path: Path, rows: Sequence[Row]) -> None:
    """Writes a row for each exit of each network in each engine, and one for the mean.

    Raises:
        OSError: when the file cannot be written.
    """
    columns = (
        *("model", "weights", "engine", "dtype", "image_size", "exit", "share", "min_ms"),
        *("median_ms", "accuracy", "mean_macs", "policy", "batch", "images_per_second"),
    )
    write_csv(path, columns, [line for row in rows for line in _lines(row)])


def _lines(row: Row) -> Iterator[dict[str, Any]]:
    found = row.to_dict()
    common = {key: found[key] for key in ("model", "weights", "engine", "dtype")}
    common["image_size"] = "x".join(map(str, found["image_size"]))
    shares = found.get("exit_shares", [""] * len(found["min_ms"]))
    accuracies = found.get("exit_accuracy", [""] * len(shares))
    both = zip(shares, found["min_ms"], found["median_ms"], accuracies, strict=True)
    for number, values in enumerate(both, 1):
        names = ("share", "min_ms", "median_ms", "accuracy")
        yield {**common, "exit": number, **dict(zip(names, values, strict=True))}
    if "mean_ms" in found:
        keys = ("accuracy", "mean_macs", "policy", "batch", "images_per_second")
        cells = {key: found[key] for key in keys if key in found}
        yield {**common, "exit": "mean", "min_ms": found["mean_ms"], **cells}


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
        series = LatencySeries(row.candidate.workload.name, exits, counts)
        panels.setdefault(f"{row.engine}, {row.dtype}", []).append(series)
    title = f"What a millisecond buys: {machine['processor']}, {machine['threads']} thread(s)"
    return latency_figure(panels, title)
