"""`exeunt score`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from exeunt.cli.options import Address, Cluster, Device, Json, OnePolicy, TrainedOrExported


def score(
    model: TrainedOrExported,
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Images without labels: a folder, a tar shard, a parquet file or a CSV, or a "
            "folder of shards or parquet files.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of results, such as results/.")],
    policy: OnePolicy = None,
    engine: Annotated[Cluster, typer.Option(help="What runs the workers.")] = Cluster.LOCAL,
    workers: Annotated[
        int | None,
        typer.Option(min=1, show_default=False, help="Processes; by default one on each core."),
    ] = None,
    address: Address = None,
    block_size: Annotated[int, typer.Option(min=1, help="Images of a shard of results.")] = 512,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, show_default=False, help="Images that a stage runs on at once."),
    ] = None,
    device: Device = "cpu",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the results in --out, if they are begun.")
    ] = False,
    json: Json = False,
) -> None:
    """Classify images by the million, into a folder of parquet shards.

    An image that cannot be read has an error in its row, and the others go on. A job that was
    killed goes on with --resume.
    """
    from exeunt.cli.render import show_facts, show_json
    from exeunt.score import score_images

    jobs = {"policy": policy, "engine": engine.value, "workers": workers, "address": address}
    sizes = {"block_size": block_size, "batch_size": batch_size, "device": device}
    found = score_images(model, data, out, **jobs, **sizes, resume=resume)  # type: ignore[arg-type]
    if json:
        show_json(found.to_dict())
    else:
        show_facts(found.facts())
