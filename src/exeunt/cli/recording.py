"""Running all exits of a model over a split of labelled images, as several commands do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress

from exeunt.cli.options import Split
from exeunt.cli.render import note, warn
from exeunt.cli.trained import TrainedModel
from exeunt.compiled import lay_out
from exeunt.data import (
    MAX_UNREADABLE_FRACTION,
    Batch,
    Sample,
    Source,
    SplitSpec,
    UnreadableTally,
    dead_workers_named,
    make_splits,
    notes,
    open_source,
    take,
)
from exeunt.errors import ExeuntError
from exeunt.evaluate import ExitTable, record_samples, record_to


def open_labelled(trained: TrainedModel, data: Path) -> Source:
    """The images of DATA, with targets that count the classes of the weights.

    Of some classes there may be no image. What is left out of DATA is said on stderr.

    Raises:
        ExeuntError: naming the classes that the weights do not know, or as `open_source`.
    """
    return open_known(data, trained.info.task, trained.info.class_names)


def open_known(data: Path, task: str, class_names: Sequence[str]) -> Source:
    """`open_labelled` for a task and classes, wherever they come from."""
    source = open_source(data, class_names)
    if source.task != task:
        raise ExeuntError(f"{data} is for {source.task}, but the weights were made for {task}")
    note(source.left_out.note)
    return source


def pick(
    trained: TrainedModel, source: Source, split: Split, limit: int | None
) -> tuple[Sample, ...]:
    """The samples of a split of `source`, cut with the seed and fractions of the training.

    Raises:
        ExeuntError: when the source has too few images for its splits.
    """
    spec = SplitSpec(**trained.info.split)
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
    allow_unreadable: float = MAX_UNREADABLE_FRACTION,
    out: Path | None = None,
    resume: bool = False,
) -> ExitTable:
    """Runs all exits on the samples, with a bar on a terminal. Says which files cannot be read, and
    which are there twice. The net is laid out as it runs fastest.

    Args:
        trained: the model.
        samples: of the split.
        split: its name.
        batch_size: images that go through the net at once.
        workers: processes that load images.
        dtype: of the logits.
        allow_unreadable: share of the images that may be.
        out: the file to record into; without it the table stays in memory.
        resume: go on with the recording in `out`.

    Raises:
        ExeuntError: as `record_to`.
        OSError: as `record_to`.
    """
    lay_out(trained.net)
    for line in notes({split.value: samples}, trained.info.class_names):
        note(line)
    console = Console(stderr=True)
    reasons: dict[str, str] = {}
    with (
        dead_workers_named(),
        Progress(console=console, transient=True, disable=not console.is_terminal) as bar,
    ):
        task = bar.add_task(f"{split.value} images", total=len(samples))

        def show(batch: Batch) -> None:
            reasons.update(batch.unreadable)
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
            tally = UnreadableTally(len(samples), allowed=allow_unreadable)
            table = record_samples(trained.net, samples, trained.transform, **settings, tally=tally)
        else:
            settings |= {"allow_unreadable": allow_unreadable, "resume": resume}
            table = record_to(out, trained.net, samples, trained.transform, **settings)
    recorded = set(table.names)
    for sample in samples:
        if sample.name not in recorded:
            warn(f"{sample.name}: {reasons.get(sample.name, 'not a readable image')}, left out")
    return table
