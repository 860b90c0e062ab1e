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
    block_size: Annotated[
        int, typer.Option(min=1, help="Images of a block, which is one shard of the results.")
    ] = 512,
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
    from exeunt.text import millions, percent

    jobs = {"policy": policy, "engine": engine.value, "workers": workers, "address": address}
    sizes = {"block_size": block_size, "batch_size": batch_size, "device": device}
    found = score_images(model, data, out, **jobs, **sizes, resume=resume)  # type: ignore[arg-type]
    if json:
        show_json(found.to_dict())
        return
    shares = enumerate(map(percent, found.exit_shares), 1)
    macs = f"{millions(found.mean_macs)} of {millions(found.full_macs)} on average"
    show_facts(
        [
            ("images", f"{found.images}, {found.failures} of them not readable"),
            ("left at", ", ".join(f"exit {k} {share}" for k, share in shares)),
            ("multiply-adds", f"{macs}, {percent(found.saving)} saved"),
            ("speed", f"{found.images_per_second:.1f} images/s, {found.images_now} in this run"),
            ("results", str(out)),
        ]
    )
