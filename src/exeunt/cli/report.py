"""`exeunt report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from exeunt.cli.options import (
    AllowUnreadable,
    BatchSize,
    Device,
    Limit,
    Split,
    Threads,
    Trained,
    Workers,
)
from exeunt.errors import ExeuntError
from exeunt.output_file import check_output

MOST_THUMBNAILS = 500


def report(
    model: Trained,
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA", help="Labelled images, laid out as for `exeunt train`."),
    ],
    out: Annotated[Path, typer.Option(help="The page to write (HTML).")],
    split: Annotated[
        Split, typer.Option(help="Split of DATA, cut as in training; all is every image.")
    ] = Split.TEST,
    limit: Limit = None,
    allow_unreadable: AllowUnreadable = 0.01,
    thumbnails: Annotated[
        int,
        typer.Option(min=0, max=MOST_THUMBNAILS, metavar="N", help="Images to show in the page."),
    ] = 120,
    live: Annotated[
        bool,
        typer.Option(
            "--live",
            help="With a place to try photographs: the network in int8, as `exeunt export --target "
            "web` has it, which takes clang and lld.",
        ),
    ] = False,
    batch_size: BatchSize = 64,
    workers: Workers = 0,
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    """Write a page to explore where images leave.

    One HTML file that needs no network: accuracy against cost for all policies, with a slider;
    images by the exit at which they leave; how sure, how right and how unanimous the exits are.
    Thresholds for budgets are solved on the calibration split, which is recorded for that.
    """
    import torch

    from exeunt.report.page import write_page
    from exeunt.trained import TrainedModel

    if out.suffix.lower() not in (".html", ".htm"):
        raise ExeuntError(f"--out {out}: the page is HTML; give a name that ends in .html")
    check_output("--out", out)
    if threads is not None:
        torch.set_num_threads(threads)
    part = None
    if live:
        from exeunt.export.web.export import part_for

        on_cpu = TrainedModel.load(model)
        part = part_for(model, on_cpu, data, limit, batch_size, workers, allow_unreadable)
    write_page(
        TrainedModel.load(model, device),
        data,
        out,
        title=model,
        split=split,
        limit=limit,
        thumbnails=thumbnails,
        batch_size=batch_size,
        workers=workers,
        allow_unreadable=allow_unreadable,
        part=part,
    )
    typer.echo(f"report: {out} ({out.stat().st_size / 1e6:.2f} MB)")
