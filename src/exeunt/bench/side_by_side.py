"""Networks side by side in several engines, which take turns."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exeunt.bench.candidates import BenchOptions, Candidate, Scores
from exeunt.bench.check import open_checked
from exeunt.bench.engine import Engine, Opened, RefusedError, missing
from exeunt.bench.machine import describe_machine
from exeunt.bench.measure import WARM_UP, Timing, measure
from exeunt.bench.row import Row
from exeunt.bench.workload import assigned_exits
from exeunt.device import on_threads
from exeunt.errors import ExeuntError
from exeunt.html import html_facts, html_table
from exeunt.profile import Shares
from exeunt.progress import Bar
from exeunt.text import percent

Key = tuple[int, str, str]
"""Number of the candidate, engine, dtype."""


@dataclass(frozen=True)
class Benchmark:
    """What was measured.

    Attributes:
        machine: what it was measured on.
        rows: a network in an engine each.
        skipped: what was left out, and why.
    """

    machine: dict[str, Any]
    rows: tuple[Row, ...]
    skipped: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        machine, left_out = self.machine, len(self.skipped)
        return f"Benchmark({machine['processor']}, {len(self.rows)} timed, {left_out} skipped)"

    def _repr_html_(self) -> str:
        columns = ("model", "engine", "dtype", "first ms", "last ms", "mean ms", "accuracy")
        rows = [
            (
                *(row.candidate.workload.name, row.engine, row.dtype),
                *(f"{ms:.2f}" for ms in (row.timing.low_ms[0], row.timing.low_ms[-1])),
                "-" if row.mean_ms is None else f"{row.mean_ms:.2f}",
                "-" if row.score is None else percent(row.score.accuracy),
            )
            for row in self.rows
        ]
        left_out = [(f"skipped: {name}", reason) for name, reason in self.skipped]
        return html_table(columns, rows, "lllrrrr", repr(self)) + html_facts(left_out)

    def to_dict(self) -> dict[str, Any]:
        """All of it under stable keys."""
        return {
            "machine": self.machine,
            "timings": [row.to_dict() for row in self.rows],
            "skipped": [{"name": name, "reason": reason} for name, reason in self.skipped],
        }


def measure_side_by_side(
    candidates: Sequence[Candidate],
    engines: Sequence[Engine],
    asked: BenchOptions,
    *,
    dtypes: Sequence[str] = ("float32",),
    threads: int = 1,
    runs: int = 50,
) -> Benchmark:
    """Milliseconds of one image to every exit, and images per second in batches.

    All networks and engines take turns, so that a busy machine slows all of them.

    Args:
        candidates: the networks.
        engines: to run them in; those that are not installed are skipped.
        asked: what holds for all.
        dtypes: of the numbers, `"float32"` or `"int8"`.
        threads: of the processor.
        runs: of one image.

    Raises:
        ExeuntError: when nothing could be opened, or images cannot be read.
    """
    skipped: list[tuple[str, str]] = []
    with tempfile.TemporaryDirectory(prefix="exeunt-") as place, on_threads(threads):
        opened = _open(engines, candidates, dtypes, threads, Path(place), skipped)
        if not opened:
            raise ExeuntError("; ".join(f"{name}: {reason}" for name, reason in skipped))
        machine = describe_machine(threads, engines)
        scores = Scores(asked)
        known = [scores.of(candidates[key[0]], one, *key[1:]) for key, one in opened.items()]
        where = [
            score.shares if score else candidates[number].shares
            for (number, *_), score in zip(opened, known, strict=True)
        ]
        timings = _measure(opened, candidates, where, asked.batch_size, runs)
    rows = [
        Row(candidates[number], engine, kind, timing, score)
        for (number, engine, kind), timing, score in zip(opened, timings, known, strict=True)
    ]
    return Benchmark(machine, tuple(rows), tuple(skipped))


def _open(
    engines: Sequence[Engine],
    candidates: Sequence[Candidate],
    dtypes: Sequence[str],
    threads: int,
    place: Path,
    skipped: list[tuple[str, str]],
) -> dict[Key, Opened]:
    """Opens every candidate in every engine; what cannot be opened is told in `skipped`."""
    opened: dict[Key, Opened] = {}
    there = []
    for engine in engines:
        if absent := missing(engine):
            skipped.append((engine.name, f"{', '.join(absent)} not installed: {engine.install}"))
        else:
            there.append(engine)
    todo = [
        (number, engine, dtype)
        for number in range(len(candidates))
        for dtype in dtypes
        for engine in there
    ]
    with Bar("opening", len(todo)) as bar:
        for number, engine, dtype in todo:
            workload = candidates[number].workload
            what = f"{workload.name} in {engine.name}, {dtype}"
            bar.say(f"opening {what}")
            folder = place / f"{number}-{engine.name}-{dtype}"
            folder.mkdir()
            try:
                one = open_checked(engine, workload, dtype, threads, folder)
                opened[number, engine.name, dtype] = one
            except RefusedError as reason:
                skipped.append((what, str(reason)))
            bar.advance()
    return opened


def _measure(
    opened: dict[Key, Opened],
    candidates: Sequence[Candidate],
    where: list[Shares | None],
    batch_size: int,
    runs: int,
) -> list[Timing]:
    """Times what is open; batches leave where their shares say, or else at the last exit."""
    exits = [candidates[number].workload.net.num_exits for number, *_ in opened]
    shares = [
        known.shares if known else (0.0,) * (count - 1) + (1.0,)
        for known, count in zip(where, exits, strict=True)
    ]
    batch_runs = max(3, runs // 10)
    with Bar("measuring", WARM_UP + runs + batch_runs + 1) as bar:
        return measure(
            list(zip(opened.values(), exits, strict=True)),
            [assigned_exits(mine, batch_size) for mine in shares],
            runs=runs,
            batch_runs=batch_runs,
            on_run=bar.advance,
        )
