"""Running all exits over a split, once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, cast

import torch
from torch import Tensor, nn

from exeunt.data import Batch, Sample, Transform, UnreadableTally, eval_loader, fingerprint
from exeunt.errors import ExeuntError
from exeunt.evaluate.table import ExitTable, Task, check_exit_macs

if TYPE_CHECKING:
    from exeunt.net import MultiExitNet


class LabelledBatch(Protocol):
    """What `record` reads of a batch: images (N C H W), targets (N,), indices into `names` (N,)."""

    images: Tensor
    targets: Tensor
    indices: Tensor


def record(
    model: MultiExitNet,
    loader: Iterable[LabelledBatch],
    *,
    exit_macs: Sequence[int],
    task: Task,
    names: Sequence[str],
    split: str,
    data_fingerprint: str,
) -> ExitTable:
    """Runs all exits over all batches and keeps what they say.

    The model is put into evaluation mode and left as it was found.

    Args:
        model: The net; batches are moved to the device of its weights.
        loader: Batches, in evaluation order.
        exit_macs: Cumulative multiply-adds of each exit (E).
        task: "classification" or "regression".
        names: Names of all samples of the split; a batch's `indices` point into them.
        split: Name of the split, kept with the table.
        data_fingerprint: Hash that identifies the samples, kept with the table.

    Raises:
        ExeuntError: The loader gave no samples, or costs or targets do not fit the net.
    """
    check_exit_macs(exit_macs, model.num_exits)
    device = next(model.parameters(), torch.empty(0)).device
    logits: list[Tensor] = []
    targets: list[Tensor] = []
    indices: list[int] = []
    with torch.inference_mode(), _evaluating(model):
        for batch in loader:
            if len(batch.images) == 0:
                continue
            exits = model(batch.images.to(device))
            logits.append(torch.stack([exit_logits.float().cpu() for exit_logits in exits]))
            targets.append(batch.targets.cpu())
            indices += batch.indices.tolist()
    if not logits:
        raise ExeuntError(f"nothing to record: the {split} split gave no samples")
    return ExitTable(
        logits=torch.cat(logits, dim=1),
        targets=torch.cat(targets),
        task=task,
        exit_macs=tuple(exit_macs),
        names=tuple(names[index] for index in indices),
        split=split,
        weights_fingerprint=weights_fingerprint(model),
        data_fingerprint=data_fingerprint,
    )


def record_samples(
    model: MultiExitNet,
    samples: Sequence[Sample],
    transform: Transform,
    *,
    exit_macs: Sequence[int],
    task: Task,
    split: str,
    batch_size: int = 64,
    workers: int = 0,
    on_batch: Callable[[Batch], None] | None = None,
    tally: UnreadableTally | None = None,
) -> ExitTable:
    """Reads, transforms and records the images of one split; unreadable ones are left out.

    Args:
        model: The net.
        samples: The images of the split.
        transform: How to prepare them.
        exit_macs: Cumulative multiply-adds of each exit (E).
        task: "classification" or "regression".
        split: Name of the split, kept with the table.
        batch_size: Images of a batch.
        workers: Processes that load; 0 loads in this one.
        on_batch: Told of every batch before it is run.
        tally: Of the unreadable images; one for these samples by default.

    Raises:
        ExeuntError: More than 1 % of the images are unreadable, or as `record`.
    """
    unreadable = tally or UnreadableTally(len(samples))

    def batches() -> Iterator[Batch]:
        loader = eval_loader(samples, transform, batch_size=batch_size, workers=workers)
        for batch in cast("Iterable[Batch]", loader):
            unreadable.add(batch)
            if on_batch is not None:
                on_batch(batch)
            yield batch

    return record(
        model,
        batches(),
        exit_macs=exit_macs,
        task=task,
        names=[sample.name for sample in samples],
        split=split,
        data_fingerprint=fingerprint(samples),
    )


def weights_fingerprint(model: nn.Module) -> str:
    """Hash of a model's tensors (32 hex digits): names, types, shapes and bytes, sorted by name.

    Metadata does not enter, so a file may be given a new policy and keep its fingerprint.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; afterwards every submodule is back in the mode it had."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
