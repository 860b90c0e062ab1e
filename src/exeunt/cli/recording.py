"""Running all exits of a model over a split of labelled images, as several commands do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress

from exeunt.cli.options import Split
from exeunt.cli.render import warn
from exeunt.cli.trained import TrainedModel
from exeunt.compiled import lay_out
from exeunt.data import Batch, Sample, Source, make_splits, open_source, take
from exeunt.errors import ExeuntError
from exeunt.evaluate import ExitTable, record_samples, record_to


def open_labelled(trained: TrainedModel, data: Path) -> Source:
    """The images of DATA, if their labels are those that the weights were trained on.

    Raises:
        ExeuntError: naming the difference, or as `open_source`.
    """
    source = open_source(data)
    check_same_task(trained, source, data)
    return source


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
    spec = trained.split_spec
    if split is Split.ALL:
        samples = source.samples
    elif split is Split.TEST:  # a limit in training is no reason to test on less
        samples = make_splits(source, replace(spec, limit=None)).test
    else:
        samples = make_splits(source, spec)[split.value]
    return samples if limit is None else take(samples, limit, spec.seed)


def record_split(
    trained: TrainedModel,
    samples: tuple[Sample, ...],
    split: Split,
    *,
    batch_size: int,
    workers: int,
    dtype: torch.dtype = torch.float32,
    out: Path | None = None,
    resume: bool = False,
) -> ExitTable:
    """Runs all exits on the samples, with a bar on a terminal, and names unreadable files. The net
    is laid out as it runs fastest.

    Args:
        trained: the model.
        samples: of the split.
        split: its name.
        batch_size: images that go through the net at once.
        workers: processes that load images.
        dtype: of the logits.
        out: the file to record into; without it the table stays in memory.
        resume: go on with the recording in `out`.

    Raises:
        ExeuntError: as `record_to`.
        OSError: as `record_to`.
    """
    lay_out(trained.net)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"{split.value} images", total=len(samples))

        def show(batch: Batch) -> None:
            if len(batch):
                bar.update(task, completed=int(batch.indices[-1]) + 1)

        settings: Any = {
            "exit_macs": trained.exit_macs,
            "task": trained.info.task,
            "split": split.value,
            "class_names": trained.info.class_names,
            "dtype": dtype,
            "batch_size": batch_size,
            "workers": workers,
            "on_batch": show,
        }
        if out is None:
            table = record_samples(trained.net, samples, trained.transform, **settings)
        else:
            table = record_to(
                out, trained.net, samples, trained.transform, **settings, resume=resume
            )
    recorded = set(table.names)
    for sample in samples:
        if sample.name not in recorded:
            warn(f"{sample.name}: not a readable image, left out")
    return table
