"""`exeunt eval`."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exeunt.cli.options import BatchSize, Json, Trained
from exeunt.cli.render import show_json, warn
from exeunt.errors import ExeuntError

if TYPE_CHECKING:
    from exeunt.cli.trained import TrainedModel
    from exeunt.data import Sample, Source
    from exeunt.evaluate import ExitTable


class Split(StrEnum):
    TEST = "test"
    CALIBRATION = "calibration"
    TRAIN = "train"
    ALL = "all"


def evaluate(
    model: Trained,
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA", help="Labelled images, laid out as for `exeunt train`."),
    ],
    split: Annotated[
        Split, typer.Option(help="Split of DATA, cut as in training; all is every image.")
    ] = Split.TEST,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SPEC",
            show_default=False,
            help="Exit policy to try instead of the usual ones; may be given several times.",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", show_default=False, help="At most N images, seeded and stratified."
        ),
    ] = None,
    batch_size: BatchSize = 64,
    workers: Annotated[int, typer.Option(min=0, help="Processes that load images.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
    threads: Annotated[
        int | None, typer.Option(min=1, show_default=False, help="Of the CPU; all by default.")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(show_default=False, help="Write all rows to this file.")
    ] = None,
    json: Json = False,
) -> None:
    """Measure exits and policies on labelled images.

    Prints how right each exit is on its own, then for each policy how right the exits taken are
    and what they cost. `oracle` counts an image as right if any exit up to that one is.
    """
    import torch

    from exeunt.cli.measurement import Measurement
    from exeunt.cli.trained import TrainedModel
    from exeunt.data import fingerprint, open_source
    from exeunt.evaluate import default_policies, sweep
    from exeunt.policies import parse_policy

    if threads is not None:
        torch.set_num_threads(threads)
    asked = [parse_policy(spec) for spec in policy or []]
    trained = TrainedModel.load(model, device)
    source = open_source(data)
    check_same_task(trained, source, data)
    samples = pick(trained, source, split, limit)
    table = _record(trained, samples, split, batch_size, workers)
    stored = parse_policy(trained.info.policy)
    policies = {p.spec: p for p in [*(asked or default_policies(table)), stored]}
    run = {
        "model": model,
        "data": str(data),
        "split": split.value,
        "samples": len(table),
        "transform": trained.transform.to_dict(),
        "data_fingerprint": fingerprint(s for pool in source.pools.values() for s in pool),
        "trained_on_fingerprint": trained.info.data["fingerprint"],
        "weights_fingerprint": table.weights_fingerprint,
        "stored_policy": stored.spec,
    }
    measurement = Measurement.of(run, table, sweep(table, policies.values()))
    if json:
        for line in measurement.lines:
            show_json(line)
    else:
        measurement.show()
    if csv is not None:
        measurement.write_csv(csv)


def check_same_task(trained: TrainedModel, source: Source, data: Path) -> None:
    """Refuses images whose labels are not those that the weights were trained on.

    Raises:
        ExeuntError: naming the difference.
    """
    info = trained.info
    if info.task != source.task:
        raise ExeuntError(f"{data} is for {source.task}, but the weights were made for {info.task}")
    if tuple(info.class_names) == source.class_names:
        return
    only_data = sorted(set(source.class_names) - set(info.class_names))
    only_weights = sorted(set(info.class_names) - set(source.class_names))
    parts = [
        f"{', '.join(map(repr, names[:8]))}{', ...' if len(names) > 8 else ''} {where}"
        for names, where in ((only_data, "only in the data"), (only_weights, "only in the weights"))
        if names
    ]
    difference = "; ".join(parts) or "the same names in another order"
    raise ExeuntError(f"{data}: the classes are not those of the weights: {difference}")


def pick(
    trained: TrainedModel, source: Source, split: Split, limit: int | None
) -> tuple[Sample, ...]:
    """The samples of a split of `source`, cut with the seed and fractions of the training.

    Raises:
        ExeuntError: when the source has too few images for its splits.
    """
    from exeunt.data import SplitSpec, make_splits, take

    spec = SplitSpec(**trained.info.split)
    if split is Split.ALL:
        samples = tuple(sample for pool in source.pools.values() for sample in pool)
    elif split is Split.TEST:  # a limit in training is no reason to test on less
        samples = make_splits(source, replace(spec, limit=None)).test
    else:
        samples = make_splits(source, spec)[split.value]
    return samples if limit is None else take(samples, limit, spec.seed)


def _record(
    trained: TrainedModel,
    samples: tuple[Sample, ...],
    split: Split,
    batch_size: int,
    workers: int,
) -> ExitTable:
    """Runs all exits on the samples, with a bar on a terminal, and names unreadable files."""
    from rich.console import Console
    from rich.progress import Progress

    from exeunt.data import Batch
    from exeunt.evaluate import record_samples

    unreadable: list[str] = []
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"{split.value} images", total=len(samples))

        def count(batch: Batch) -> None:
            unreadable.extend(batch.unreadable)
            bar.advance(task, len(batch) + len(batch.unreadable))

        table = record_samples(
            trained.net,
            samples,
            trained.transform,
            exit_macs=trained.exit_macs,
            task=trained.info.task,
            split=split.value,
            batch_size=batch_size,
            workers=workers,
            on_batch=count,
        )
    for name in unreadable:
        warn(f"{name}: not a readable image, left out")
    return table
