"""Recording into a file, which may take hours and be killed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from exeunt.data import (
    MAX_UNREADABLE_FRACTION,
    Batch,
    Sample,
    Transform,
    UnreadableTally,
    fingerprint,
)
from exeunt.errors import ExeuntError, expect
from exeunt.evaluate.partial import SUFFIX, PartialTable, refuse_another
from exeunt.evaluate.record import batches, run_exits, weights_fingerprint
from exeunt.evaluate.table import ExitTable, Task
from exeunt.evaluate.table_file import load_table, save_table
from exeunt.locks import locked
from exeunt.net import unwrapped

if TYPE_CHECKING:
    from torch.nn.parallel import DistributedDataParallel

    from exeunt.net import MultiExitNet


@dataclass(frozen=True, eq=False)
class Recorded:
    """Samples that were run elsewhere: whole batches of them, in their order.

    Attributes:
        indices: Of the readable ones, among all samples (N,).
        logits: What all exits say of those (E N K), rounded.
        unreadable: By name, why each of the others cannot be read.
        end: Index of the sample behind them.
    """

    indices: Tensor
    logits: Tensor
    unreadable: dict[str, str]
    end: int


def record_to(
    path: str | Path,
    model: MultiExitNet | DistributedDataParallel,
    samples: Sequence[Sample],
    transform: Transform,
    *,
    exit_macs: Sequence[int],
    task: Task,
    split: str,
    class_names: Sequence[str] = (),
    dtype: torch.dtype = torch.float32,
    batch_size: int = 64,
    workers: int = 0,
    on_batch: Callable[[Batch], None] | None = None,
    allow_unreadable: float = MAX_UNREADABLE_FRACTION,
    resume: bool = False,
    elsewhere: Callable[[int], Iterator[Recorded]] | None = None,
    on_recorded: Callable[[Recorded], None] | None = None,
) -> ExitTable:
    """Records as `record_samples` does, into a file, however large the split.

    What was recorded waits in a `.partial` file beside it; once that is whole, the table takes its
    name. A recording that was killed goes on with its next batch and ends with the same bytes as if
    it had not been. One that is finished is opened, without running the model.

    Args:
        path: The file, `.exits` by custom.
        model: The net.
        samples: The images of the split.
        transform: How to prepare them.
        exit_macs: Cumulative multiply-adds of each exit (E).
        task: "classification" or "regression".
        split: Name of the split, kept with the table.
        class_names: Names of the classes, kept with the table.
        dtype: What logits are rounded to, float32 or float16.
        batch_size: Images of a batch.
        workers: Processes that load; 0 loads in this one.
        on_batch: Told of every batch before it is run; its indices point into `samples`.
        allow_unreadable: Share of the images that may be unreadable, and are left out.
        resume: Go on with a recording that was begun with the same weights, samples and settings.
        elsewhere: Runs the samples from an index on, in other processes, in place of `model` here.
            Their batches begin at multiples of `batch_size`.
        on_recorded: Told of everything that was run there.

    Returns:
        The table, mapped from the file.

    Raises:
        ExeuntError: The file is there, or was begun, and `resume` is off; or it is a recording of
            something else, or another process records into it; or as `record_samples`.
        WriteError: The disk is full; a later call goes on from there.
    """
    expect("record_to(path, model, samples, transform)", "path", path, str, Path)
    path, names = Path(path), [sample.name for sample in samples]
    net = unwrapped(model)
    exits, outputs = net.num_exits, net.num_classes
    nothing = torch.zeros((), dtype=dtype).expand(exits, len(samples), outputs)
    table = ExitTable(  # what does not fit is refused before anything is run
        logits=nothing,
        targets=_targets(samples),
        task=task,
        exit_macs=tuple(exit_macs),
        names=tuple(names),
        split=split,
        weights_fingerprint=weights_fingerprint(net),
        data_fingerprint=fingerprint(samples),
        class_names=tuple(class_names),
    )
    about = _about(table)
    with locked(path.with_name(f".{path.name}.exeunt.lock"), path):
        if path.exists():
            if not resume:
                raise ExeuntError(f"{path} is there already; choose another --out")
            finished = load_table(path)
            refuse_another(path, _about(finished), about)
            path.with_name(path.name + SUFFIX).unlink(missing_ok=True)
            return finished
        about |= {
            "transform": transform.to_dict(),
            "batch_size": batch_size,
            "order": hashlib.blake2b(repr(names).encode(), digest_size=8).hexdigest(),
        }
        shape = (exits, outputs)
        with PartialTable(
            path, about, shape=shape, dtype=dtype, batch_size=batch_size, resume=resume
        ) as partial:
            recorded = set(partial.rows()[0].tolist())
            known = {
                name: "not a readable image"
                for i, name in enumerate(names[: partial.done])
                if i not in recorded
            }
            tally = UnreadableTally(len(samples), known, allow_unreadable)
            if elsewhere is None:
                run_exits(
                    net,
                    batches(samples, transform, partial.done, batch_size, workers, tally, on_batch),
                    names,
                    dtype,
                    lambda batch, logits: partial.append(batch.indices.cpu(), logits),
                )
            else:
                for part in elsewhere(partial.done):
                    tally.include(part.unreadable)
                    if len(part.indices):
                        partial.append(part.indices, part.logits)
                    if on_recorded is not None:
                        on_recorded(part)
            indices, logits = partial.rows()
        kept = tuple(names[index] for index in indices.tolist())
        save_table(path, replace(table, logits=logits, targets=table.targets[indices], names=kept))
        partial.path.unlink()
        return load_table(path)


def _about(table: ExitTable) -> dict[str, Any]:
    """What tells a recording from others."""
    keys = ("weights_fingerprint", "data_fingerprint", "split", "task")
    dtype = str(table.logits.dtype).removeprefix("torch.")
    return {key: getattr(table, key) for key in keys} | {"dtype": dtype}


def _targets(samples: Sequence[Sample]) -> Tensor:
    """Those of all samples, of the type that batches have."""
    floating = any(isinstance(sample.target, float) for sample in samples)
    dtype = torch.float32 if floating else torch.int64
    return torch.tensor([sample.target for sample in samples], dtype=dtype)
