"""Running all exits over a split, once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, cast

import torch
from torch import Tensor, nn

from exeunt.data import Batch, Sample, Transform, UnreadableTally, eval_loader, fingerprint
from exeunt.errors import ExeuntError
from exeunt.evaluate.table import DTYPES, ExitTable, Task, check_exit_macs
from exeunt.finite import require_finite_logits
from exeunt.mode import evaluating
from exeunt.net import unwrapped

if TYPE_CHECKING:
    from torch.nn.parallel import DistributedDataParallel

    from exeunt.net import MultiExitNet


class LabelledBatch(Protocol):
    """What `record` reads of a batch: images (N C H W), targets (N,), indices into `names` (N,)."""

    images: Tensor
    targets: Tensor
    indices: Tensor


def record(
    model: MultiExitNet | DistributedDataParallel,
    loader: Iterable[LabelledBatch],
    *,
    exit_macs: Sequence[int],
    task: Task,
    names: Sequence[str],
    split: str,
    data_fingerprint: str,
    class_names: Sequence[str] = (),
    dtype: torch.dtype = torch.float32,
) -> ExitTable:
    """Runs all exits over all batches and keeps what they say.

    The model is put into evaluation mode and left as it was found.

    Args:
        model: The net, or what `exeunt.net.unwrapped` finds one in; batches are moved to the device
            of its weights.
        loader: Batches, in evaluation order.
        exit_macs: Cumulative multiply-adds of each exit (E).
        task: "classification" or "regression".
        names: Names of all samples of the split; a batch's `indices` point into them.
        split: Name of the split, kept with the table.
        data_fingerprint: Hash that identifies the samples, kept with the table.
        class_names: Names of the classes, kept with the table.
        dtype: What logits are rounded to, float32 or float16.

    Raises:
        ExeuntError: The loader gave no samples, costs or targets do not fit the net, or logits are
            not finite, or too large for float16.
    """
    net = unwrapped(model)
    check_exit_macs(exit_macs, net.num_exits)
    logits: list[Tensor] = []
    targets: list[Tensor] = []
    indices: list[int] = []

    def keep(batch: LabelledBatch, exits: Tensor) -> None:
        logits.append(exits)
        targets.append(batch.targets.cpu())
        indices.extend(batch.indices.tolist())

    run_exits(net, loader, names, dtype, keep)
    if not logits:
        raise ExeuntError(f"nothing to record: the {split} split gave no samples")
    return ExitTable(
        logits=torch.cat(logits, dim=1),
        targets=torch.cat(targets),
        task=task,
        exit_macs=tuple(exit_macs),
        names=tuple(names[index] for index in indices),
        split=split,
        weights_fingerprint=weights_fingerprint(net),
        data_fingerprint=data_fingerprint,
        class_names=tuple(class_names),
    )


def record_samples(
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
        class_names: Names of the classes, kept with the table.
        dtype: What logits are rounded to, float32 or float16.
        batch_size: Images of a batch.
        workers: Processes that load; 0 loads in this one.
        on_batch: Told of every batch before it is run; its indices point into `samples`.
        tally: Of the unreadable images; one for these samples by default.

    Raises:
        ExeuntError: More images are unreadable than the tally lets pass, or as `record`.
    """
    unreadable = tally or UnreadableTally(len(samples))
    return record(
        model,
        batches(samples, transform, 0, batch_size, workers, unreadable, on_batch),
        exit_macs=exit_macs,
        task=task,
        names=[sample.name for sample in samples],
        split=split,
        data_fingerprint=fingerprint(samples),
        class_names=class_names,
        dtype=dtype,
    )


def weights_fingerprint(model: nn.Module) -> str:
    """Hash of a model's tensors (32 hex digits): names, types, shapes and bytes, sorted by name.

    Metadata does not enter, so a file may be given a new policy and keep its fingerprint. Nor does
    it matter whether stages are compiled.
    """
    digest = hashlib.blake2b(digest_size=16)
    tensors = {n.replace("_orig_mod.", ""): t for n, t in model.state_dict().items()}
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def batches(
    samples: Sequence[Sample],
    transform: Transform,
    start: int,
    batch_size: int,
    workers: int,
    tally: UnreadableTally,
    on_batch: Callable[[Batch], None] | None,
) -> Iterator[Batch]:
    """The batches from sample `start` on; their indices point into all samples."""
    if start == len(samples) > 0:
        return
    loader = eval_loader(samples[start:], transform, batch_size=batch_size, workers=workers)
    for batch in cast("Iterable[Batch]", loader):
        tally.add(batch)
        batch.indices += start
        if on_batch is not None:
            on_batch(batch)
        yield batch


def run_exits(
    model: MultiExitNet,
    loader: Iterable[LabelledBatch],
    names: Sequence[str],
    dtype: torch.dtype,
    keep: Callable[[LabelledBatch, Tensor], None],
) -> None:
    """Runs all exits on each batch and hands over the logits (E N K), rounded, in main memory.

    Raises:
        ExeuntError: Logits are not finite, or too large for `dtype`.
    """
    if dtype not in DTYPES.values():
        raise ExeuntError(f"logits are recorded as {' or '.join(DTYPES)}, not as {dtype}")
    device = next(model.parameters(), torch.empty(0)).device
    with torch.inference_mode(), evaluating(model):
        for batch in loader:
            if len(batch.images) == 0:
                continue
            logits = torch.stack(model(batch.images.to(device))).float()
            named = [names[index] for index in batch.indices.tolist()]
            for k, mine in enumerate(logits):
                require_finite_logits(mine, k, named.__getitem__)
            rounded = logits.to(dtype)
            if dtype == torch.float16 and rounded.isinf().any():
                raise ExeuntError(
                    f"a logit of {logits.abs().max():g} does not fit float16, whose largest number "
                    f"is {torch.finfo(dtype).max:g}; record float32"
                )
            keep(batch, rounded.cpu())
