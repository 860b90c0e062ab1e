"""A page to explore where images leave, made of one trained network and labelled images."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from exeunt.calibrate import geometric_policies
from exeunt.data import MAX_UNREADABLE_FRACTION, Data, fingerprint
from exeunt.evaluate import baseline, replay, sweep
from exeunt.evaluate.splits import open_labelled, record_split, select_samples
from exeunt.page import NOTHING, PagePart
from exeunt.report.card import card
from exeunt.report.document import write_report
from exeunt.report.gallery import choose, shrink
from exeunt.report.payload import payload
from exeunt.trained import TrainedModel


def write_page(
    trained: TrainedModel,
    data: Data,
    out: Path,
    *,
    title: str,
    split: str = "test",
    limit: int | None = None,
    thumbnails: int = 120,
    batch_size: int = 64,
    workers: int = 0,
    allow_unreadable: float = MAX_UNREADABLE_FRACTION,
    part: PagePart | None = None,
) -> None:
    """Writes one HTML file that needs no network.

    Thresholds for budgets are solved on the calibration split, which is recorded for that.

    Args:
        trained: the network.
        data: labelled images, laid out as in training.
        out: the file.
        title: the network's name.
        split: of the data, cut as in training.
        limit: at most so many images of each split.
        thumbnails: images to show.
        batch_size: images that go through the net at once.
        workers: processes that load images.
        allow_unreadable: share of the images that may be.
        part: what the page carries besides, such as a place to try photographs.

    Raises:
        ExeuntError: when the data cannot be used.
        OSError: when the file cannot be written.
    """
    source = open_labelled(trained, data)
    samples = select_samples(trained, source, split, limit)
    table = record_split(trained, samples, split, batch_size=batch_size, workers=workers)
    stored = trained.policy(None)

    budgets = []
    if table.task == "classification" and table.num_exits > 1:
        held_out = select_samples(trained, source, "calibration", limit)
        calibration = record_split(
            trained, held_out, "calibration", batch_size=batch_size, workers=workers
        )
        budgets = sweep(calibration, geometric_policies(calibration))

    places = {sample.name: sample.place for sample in samples}

    def load(name: str) -> Image.Image:
        return trained.transform.prepare(places[name].load())

    rows = choose(replay(table, stored), table.targets, thumbnails)
    name = data.resolve().name if isinstance(data, Path) else data.name
    kind = f" and {len(trained.info.class_names)} classes" if trained.info.class_names else ""
    page = payload(
        table,
        title=title,
        summary=f"{table.num_exits} exits{kind}, measured on {len(table):,} images of {name} "
        f"({split}); {baseline(table).describe(trained.info.class_names)}.",
        class_names=trained.info.class_names,
        stored=stored,
        budgets=budgets,
        thumbnails=shrink(table, rows, load),
        facts=card(
            trained.info,
            table,
            model=title,
            data=name,
            parameters=sum(parameter.numel() for parameter in trained.net.parameters()),
            fingerprint=fingerprint(source.samples),
        ),
    )
    write_report(out, page, part or NOTHING)
