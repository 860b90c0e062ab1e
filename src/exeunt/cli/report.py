"""`exeunt report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exeunt.cli.options import BatchSize, Device, Limit, Split, Threads, Trained, Workers
from exeunt.errors import ExeuntError

if TYPE_CHECKING:
    from PIL import Image

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
    thumbnails: Annotated[
        int,
        typer.Option(min=0, max=MOST_THUMBNAILS, metavar="N", help="Images to show in the page."),
    ] = 120,
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

    from exeunt.calibrate import geometric_policies
    from exeunt.cli.recording import open_labelled, pick, record_split
    from exeunt.cli.trained import TrainedModel
    from exeunt.data import fingerprint
    from exeunt.evaluate import baseline, replay, sweep
    from exeunt.report.card import card
    from exeunt.report.document import write_report
    from exeunt.report.gallery import choose, shrink
    from exeunt.report.payload import payload

    if out.suffix.lower() not in (".html", ".htm"):
        raise ExeuntError(f"--out {out}: the page is HTML; give a name that ends in .html")
    if threads is not None:
        torch.set_num_threads(threads)
    trained = TrainedModel.load(model, device)
    source = open_labelled(trained, data)
    samples = pick(trained, source, split, limit)
    table = record_split(trained, samples, split, batch_size=batch_size, workers=workers)
    stored = trained.policy(None)

    budgets = []
    if table.task == "classification" and table.num_exits > 1:
        held_out = pick(trained, source, Split.CALIBRATION, limit)
        calibration = record_split(
            trained, held_out, Split.CALIBRATION, batch_size=batch_size, workers=workers
        )
        budgets = sweep(calibration, geometric_policies(calibration))

    places = {sample.name: sample.place for sample in samples}

    def load(name: str) -> Image.Image:
        return trained.transform.prepare(places[name].load())

    rows = choose(replay(table, stored), table.targets, thumbnails)
    name = data.resolve().name
    kind = f" and {len(trained.info.class_names)} classes" if trained.info.class_names else ""
    page = payload(
        table,
        title=model,
        summary=f"{table.num_exits} exits{kind}, measured on {len(table):,} images of {name} "
        f"({split.value}); {baseline(table).describe(trained.info.class_names)}.",
        class_names=trained.info.class_names,
        stored=stored,
        budgets=budgets,
        thumbnails=shrink(table, rows, load),
        facts=card(
            trained.info,
            table,
            model=model,
            data=name,
            parameters=sum(parameter.numel() for parameter in trained.net.parameters()),
            fingerprint=fingerprint(source.samples),
        ),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    write_report(out, page)
    typer.echo(f"report: {out} ({out.stat().st_size / 1e6:.2f} MB)")
