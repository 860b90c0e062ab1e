"""`exeunt bench`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exeunt.cli.info import parse_size
from exeunt.cli.options import BatchSize, Dtype, ImageSize, Json, Limit, OnePolicy
from exeunt.cli.output import check_output
from exeunt.cli.render import show_json
from exeunt.errors import ExeuntError

if TYPE_CHECKING:
    from rich.progress import Progress

    from exeunt.bench import Engine, Opened, Timing
    from exeunt.cli.benchmarked import Candidate
    from exeunt.profile import Shares

Key = tuple[int, str, str]
"""Number of the candidate, engine, dtype."""


def bench(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Architectures, run folders, weights files or shipped weights.",
        ),
    ],
    plain: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL",
            show_default=False,
            help="Another, its last exit alone: an ordinary network. May be given several times.",
        ),
    ] = None,
    engines: Annotated[
        str,
        typer.Option(
            metavar="A,B,...",
            help="torch, compile, onnxruntime, openvino, litert, executorch, ncnn, c.",
        ),
    ] = "torch,onnxruntime,openvino,litert,executorch,ncnn,c",
    data: Annotated[
        Path | None,
        typer.Option(
            show_default=False,
            help="Labelled images: where they leave, and accuracy, on the test split.",
        ),
    ] = None,
    policy: OnePolicy = None,
    shares_from: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            show_default=False,
            help="Images leave networks without weights where they leave this one.",
        ),
    ] = None,
    image_size: ImageSize = None,
    dtype: Annotated[
        list[Dtype] | None,
        typer.Option(show_default=False, help="May be given twice. [float32]"),
    ] = None,
    batch_size: BatchSize = 32,
    threads: Annotated[int, typer.Option(min=1, help="Of the CPU.")] = 1,
    runs: Annotated[int, typer.Option(min=1, help="Of one image, to measure.")] = 50,
    limit: Limit = None,
    csv: Annotated[
        Path | None,
        typer.Option(show_default=False, help="Write a row for each exit to this file."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="Draw accuracy against milliseconds, as PNG or SVG; with --data.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Measure networks side by side, in the engines that people use.

    Milliseconds of one image to every exit and images per second in batches. All networks and
    engines take turns, so that a busy machine slows all of them. A network without weights gets
    random ones, which take as long.
    """
    from exeunt.bench import describe_machine
    from exeunt.cli.benchmarked import Asked, Scores, candidate
    from exeunt.cli.timings import Row, figure_of, show_timings, write_timings
    from exeunt.report.canvas import check_figure, write_figure

    for name, file in (("--csv", csv), ("--plot", plot)):
        check_output(name, file, [*models, *(plain or ()), data])
    if plot is not None:
        check_figure(plot)
        if data is None:
            raise ExeuntError("--plot draws accuracy, which needs --data")
    chosen = _engines(engines)
    size = parse_size(image_size) if image_size else None
    asked = Asked(size, batch_size, data, policy, shares_from, limit)
    candidates = [candidate(model, asked, single=False) for model in models]
    candidates += [candidate(model, asked, single=True) for model in plain or ()]
    dtypes = [one.value for one in dtype or [Dtype.FLOAT32]]
    skipped: list[tuple[str, str]] = []
    with tempfile.TemporaryDirectory(prefix="exeunt-") as place, _one_speed(threads):
        opened = _open(chosen, candidates, dtypes, threads, Path(place), skipped)
        if not opened:
            raise ExeuntError("; ".join(f"{name}: {reason}" for name, reason in skipped))
        machine = describe_machine(threads, chosen)
        scores = Scores(asked)
        known = [scores.of(candidates[key[0]], one, *key[1:]) for key, one in opened.items()]
        where = [
            score.shares if score else candidates[number].shares
            for (number, *_), score in zip(opened, known, strict=True)
        ]
        timings = _measure(opened, candidates, where, batch_size, runs)
    rows = [
        Row(candidates[number], engine, kind, timing, score)
        for (number, engine, kind), timing, score in zip(opened, timings, known, strict=True)
    ]
    if json:
        show_json({"kind": "machine", **machine})
        for row in rows:
            show_json({"kind": "timing", **row.to_json()})
        for name, reason in skipped:
            show_json({"kind": "skipped", "name": name, "reason": reason})
    else:
        show_timings(machine, rows, skipped)
    if csv is not None:
        write_timings(csv, rows)
    if plot is not None:
        write_figure(figure_of(rows, machine), plot)


def _engines(text: str) -> list[Engine]:
    """Those that are asked for, in the order in which they are.

    Raises:
        ExeuntError: for a name that none has.
    """
    from exeunt.bench import ENGINES

    names = list(dict.fromkeys(text.split(",")))
    for name in names:
        if name not in ENGINES:
            raise ExeuntError(f"--engines {name!r}: there are {', '.join(ENGINES)}")
    return [ENGINES[name] for name in names]


@contextmanager
def _one_speed(threads: int) -> Iterator[None]:
    """PyTorch on so many threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _progress() -> Iterator[Progress]:
    """A bar on a terminal, which goes away at the end."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        yield bar


def _open(
    engines: list[Engine],
    candidates: list[Candidate],
    dtypes: list[str],
    threads: int,
    place: Path,
    skipped: list[tuple[str, str]],
) -> dict[Key, Opened]:
    """Opens every candidate in every engine; what cannot be opened is told in `skipped`."""
    from exeunt.bench import RefusedError, missing
    from exeunt.bench.check import open_checked

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
    with _progress() as bar:
        task = bar.add_task("opening", total=len(todo))
        for number, engine, dtype in todo:
            subject = candidates[number].subject
            what = f"{subject.name} in {engine.name}, {dtype}"
            bar.update(task, description=f"opening {what}")
            folder = place / f"{number}-{engine.name}-{dtype}"
            folder.mkdir()
            try:
                one = open_checked(engine, subject, dtype, threads, folder)
                opened[number, engine.name, dtype] = one
            except RefusedError as reason:
                skipped.append((what, str(reason)))
            bar.advance(task)
    return opened


def _measure(
    opened: dict[Key, Opened],
    candidates: list[Candidate],
    where: list[Shares | None],
    batch_size: int,
    runs: int,
) -> list[Timing]:
    """Times what is open; batches leave where their shares say, or else at the last exit."""
    from exeunt.bench import WARM_UP, appointed, measure

    exits = [candidates[number].subject.net.num_exits for number, *_ in opened]
    shares = [
        known.shares if known else (0.0,) * (count - 1) + (1.0,)
        for known, count in zip(where, exits, strict=True)
    ]
    batch_runs = max(3, runs // 10)
    with _progress() as bar:
        task = bar.add_task("measuring", total=WARM_UP + runs + batch_runs + 1)
        return measure(
            list(zip(opened.values(), exits, strict=True)),
            [appointed(mine, batch_size) for mine in shares],
            runs=runs,
            batch_runs=batch_runs,
            on_run=lambda: bar.advance(task),
        )
