"""`exeunt bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from exeunt.cli.info import parse_size
from exeunt.cli.options import (
    AllowUnreadable,
    Arguments,
    BatchSize,
    Dtype,
    ImageSize,
    Json,
    Limit,
    OnePolicy,
)
from exeunt.cli.render import show_json
from exeunt.errors import ExeuntError
from exeunt.output_file import check_output


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
    arguments: Arguments = None,
    image_size: ImageSize = None,
    dtype: Annotated[
        list[Dtype] | None,
        typer.Option(show_default=False, help="May be given twice. [float32]"),
    ] = None,
    batch_size: BatchSize = 32,
    threads: Annotated[int, typer.Option(min=1, help="Of the CPU.")] = 1,
    runs: Annotated[int, typer.Option(min=1, help="Of one image, to measure.")] = 50,
    limit: Limit = None,
    allow_unreadable: AllowUnreadable = 0.01,
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
    from exeunt.bench import (
        BenchOptions,
        candidate,
        engines_named,
        figure_of,
        measure_side_by_side,
        write_timings,
    )
    from exeunt.cli.timings import show_timings
    from exeunt.documents import parse_pairs
    from exeunt.report.canvas import check_figure, write_figure

    for name, file in (("--csv", csv), ("--plot", plot)):
        check_output(name, file, [*models, *(plain or ()), data])
    if plot is not None:
        check_figure(plot)
        if data is None:
            raise ExeuntError("--plot draws accuracy, which needs --data")
    size = parse_size(image_size) if image_size else None
    asked = BenchOptions(size, batch_size, data, policy, shares_from, limit, allow_unreadable)
    own = parse_pairs(arguments, "--set")
    chosen = engines_named(engines.split(","))
    candidates = [candidate(model, asked, single=False, arguments=own) for model in models]
    candidates += [candidate(model, asked, single=True) for model in plain or ()]
    dtypes = [one.value for one in dtype or [Dtype.FLOAT32]]
    found = measure_side_by_side(
        candidates, chosen, asked, dtypes=dtypes, threads=threads, runs=runs
    )
    if json:
        parts = found.to_dict()
        show_json({"kind": "machine", **parts["machine"]})
        for timing in parts["timings"]:
            show_json({"kind": "timing", **timing})
        for skipped in parts["skipped"]:
            show_json({"kind": "skipped", **skipped})
    else:
        show_timings(found)
    if csv is not None:
        write_timings(csv, found.rows)
    if plot is not None:
        write_figure(figure_of(found.rows, found.machine), plot)
