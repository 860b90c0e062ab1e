"""`exeunt record`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from exeunt.cli.options import (
    Address,
    AllowUnreadable,
    BatchSize,
    Cluster,
    Device,
    Limit,
    Split,
    Threads,
    TrainedOrExported,
    Workers,
)


def record(
    model: TrainedOrExported,
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA", help="Labelled images, laid out as for `exeunt train`."),
    ],
    out: Annotated[Path, typer.Option(help="File to write, such as runs/test.exits.")],
    split: Annotated[
        Split, typer.Option(help="Split of DATA, cut as in training; all is every image.")
    ] = Split.TEST,
    float16: Annotated[
        bool, typer.Option("--float16", help="Round logits to float16: half the file.")
    ] = False,
    limit: Limit = None,
    allow_unreadable: AllowUnreadable = 0.01,
    batch_size: BatchSize = 64,
    workers: Workers = 0,
    engine: Annotated[Cluster, typer.Option(help="What runs the network.")] = Cluster.LOCAL,
    address: Address = None,
    device: Device = "cpu",
    threads: Threads = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the recording in --out, if it has begun.")
    ] = False,
) -> None:
    """Record what every exit says of labelled images.

    The file holds the logits of all exits, the labels and the costs. Policies are evaluated and
    chosen on it without the images or the network: `exeunt eval FILE`.
    """
    import torch

    from exeunt.cli.render import show_facts, show_table
    from exeunt.evaluate import exit_rows
    from exeunt.evaluate.splits import open_labelled, record_split, select_samples
    from exeunt.export.onnx.reader import open_exits
    from exeunt.score.record import record_elsewhere
    from exeunt.text import figure, millions, percent

    if threads is not None:
        torch.set_num_threads(threads)
    trained = open_exits(model, device, threads)
    samples = select_samples(trained, open_labelled(trained, data), split, limit)
    sizes = {"batch_size": batch_size, "dtype": "float16" if float16 else "float32"}
    cluster = {"engine": engine.value, "workers": workers, "address": address, "device": device}
    table = record_split(
        trained,
        samples,
        split,
        batch_size=batch_size,
        workers=workers,
        dtype=torch.float16 if float16 else torch.float32,
        allow_unreadable=allow_unreadable,
        out=out,
        resume=resume,
        elsewhere=record_elsewhere(model, samples, **sizes, **cluster),  # type: ignore[arg-type]
    )
    classes = f", {table.logits.shape[2]} classes" if table.task == "classification" else ""
    dtype = "float16" if float16 else "float32"
    show_facts(
        [
            ("recorded", f"{data}, {split.value}: {len(table)} images"),
            ("exits", f"{table.num_exits}{classes}, {dtype}"),
            ("file", f"{out}, {out.stat().st_size / 1e6:.2f} MB"),
        ]
    )
    score = "accuracy" if table.task == "classification" else "mae"
    show = percent if score == "accuracy" else figure
    rows = [
        [str(row.index + 1), show(getattr(row, score)), millions(row.macs)]
        for row in exit_rows(table)
    ]
    typer.echo()
    show_table(["exit", score, "MACs"], rows, "rrr")
