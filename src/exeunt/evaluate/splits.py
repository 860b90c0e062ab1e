"""Running all exits of a trained network over a split of labelled images."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from exeunt.compiled import use_channels_last
from exeunt.data import (
    MAX_UNREADABLE_FRACTION,
    Batch,
    Data,
    Sample,
    Source,
    UnreadableTally,
    dead_workers_named,
    make_splits,
    notes,
    open_source,
    take,
)
from exeunt.errors import ExeuntError, ExeuntNote, ExeuntWarning
from exeunt.evaluate.record import record_samples
from exeunt.evaluate.record_to import Recorded, record_to
from exeunt.evaluate.table import ExitTable
from exeunt.progress import Bar, OnProgress
from exeunt.trained import TrainedModel

SPLITS = ("test", "calibration", "train", "all")
"""Splits of labelled images, cut as in training; `"all"` is every image."""


def open_labelled(trained: TrainedModel, data: Data) -> Source:
    """The images of DATA, with targets that count the classes of the weights.

    Of some classes there may be no image. What is left out of DATA is warned of.

    Raises:
        ExeuntError: naming the classes that the weights do not know, or as `open_source`.
    """
    return open_known(data, trained.info.task, trained.info.class_names)


def open_known(data: Data, task: str, class_names: Sequence[str]) -> Source:
    """`open_labelled` for a task and classes, wherever they come from."""
    source = open_source(data, class_names)
    if source.task != task:
        raise ExeuntError(f"{data} is for {source.task}, but the weights were made for {task}")
    if source.left_out.note:
        warnings.warn(source.left_out.note, ExeuntNote, stacklevel=3)
    return source


def select_samples(
    trained: TrainedModel, source: Source, split: str, limit: int | None
) -> tuple[Sample, ...]:
    """The samples of a split of `source`, cut with the seed and fractions of the training.

    Where the weights do not say these, images that come in one pool are cut with the default ones,
    and a warning; from a pool that is there to train on no image is held out.

    Raises:
        ExeuntError: when the source has too few images for its splits, there is no such split, or
            the weights do not say which images were held out of the training.
    """
    if not trained.info.split and split in ("calibration", "test"):
        if "all" in source.pools:
            warnings.warn(
                f"{source.root}: nothing says whether these are the images of the training, nor "
                f"how those were split; the {split} split is cut with the default seed and "
                "fractions, and worth its name only if none of its images was trained on",
                ExeuntWarning,
                stacklevel=2,
            )
        elif split == "calibration":
            raise ExeuntError(
                f"{source.root}: the calibration split would come from the images to train on, and "
                "the weights do not say which of those were held out. Give images in class folders "
                "that were never trained on, or say how they were split: Classifier(..., split=...)"
            )
    samples = split_samples(trained, source, split)
    return samples if limit is None else take(samples, limit, trained.split_spec.seed)


def split_samples(trained: TrainedModel, source: Source, split: str) -> tuple[Sample, ...]:
    """`select_samples` without a limit, and without a word on what is not known."""
    if split not in SPLITS:
        raise ExeuntError(f"split={split!r}; one of {', '.join(SPLITS)}")
    if split == "all":
        return source.samples
    spec = trained.split_spec
    if split == "test":  # a limit in training is no reason to test on less
        return make_splits(source, replace(spec, limit=None)).test
    return make_splits(source, spec)[split]


def record_split(
    trained: TrainedModel,
    samples: tuple[Sample, ...],
    split: str,
    *,
    batch_size: int,
    workers: int,
    dtype: torch.dtype = torch.float32,
    allow_unreadable: float = MAX_UNREADABLE_FRACTION,
    out: Path | None = None,
    resume: bool = False,
    on_progress: OnProgress | None = None,
    elsewhere: Callable[[int], Iterator[Recorded]] | None = None,
) -> ExitTable:
    """Runs all exits on the samples. Warns of files that cannot be read, and of images that are
    there twice. The net is laid out as it runs fastest.

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
        on_progress: called after every batch; a bar on a terminal without it.
        elsewhere: runs the samples in other processes, as `record_to` has it; needs `out`.

    Raises:
        ExeuntError: as `record_to`.
        OSError: as `record_to`.
    """
    use_channels_last(trained.net)
    for line in notes({str(split): samples}, trained.info.class_names):
        warnings.warn(line, ExeuntNote, stacklevel=2)
    reasons: dict[str, str] = {}
    with (
        dead_workers_named(),
        Bar(f"{split} images", len(samples), on_progress) as bar,
    ):

        def show(batch: Batch) -> None:
            reasons.update(batch.unreadable)
            if len(batch):
                bar.advance(int(batch.indices[-1]) + 1 - bar.done)

        def note(part: Recorded) -> None:
            reasons.update(part.unreadable)
            bar.advance(part.end - bar.done)

        settings: Any = {
            "exit_macs": trained.exit_macs,
            "task": trained.info.task,
            "split": str(split),
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
            settings |= {"elsewhere": elsewhere, "on_recorded": note}
            table = record_to(out, trained.net, samples, trained.transform, **settings)
    recorded = set(table.names)
    for sample in samples:
        if sample.name not in recorded:
            reason = reasons.get(sample.name, "not a readable image")
            warnings.warn(f"{sample.name}: {reason}, left out", ExeuntWarning, stacklevel=2)
    return table
