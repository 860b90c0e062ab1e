"""Running all exits over a split, once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from torch import Tensor, nn

from exeunt.data import Batch, Sample, Transform, UnreadableTally, eval_loader, fingerprint
from exeunt.errors import ExeuntError
from exeunt.evaluate.table import DTYPES, NOT_STATED, ExitTable, Task, check_exit_macs
from exeunt.finite import require_finite_logits
from exeunt.mode import evaluating
from exeunt.net import unwrapped

if TYPE_CHECKING:
    from torch.nn.parallel import DistributedDataParallel

    from exeunt.net import MultiExitNet


class LabelledBatch(Protocol):
    """A batch that knows its samples: images (N C H W), targets (N,), indices into `names` (N,)."""

    images: Tensor
    targets: Tensor
    indices: Tensor


@dataclass
class _Numbered:
    """A plain pair, whose samples are counted in the order in which they come."""

    images: Tensor
    targets: Tensor
    indices: Tensor


def record(
    model: nn.Module,
    loader: Iterable[LabelledBatch | Sequence[Tensor]],
    *,
    exit_macs: Sequence[int] | None = None,
    task: Task | None = None,
    names: Sequence[str] | None = None,
    split: str = NOT_STATED,
    data_fingerprint: str | None = None,
    class_names: Sequence[str] = (),
    dtype: torch.dtype = torch.float32,
) -> ExitTable:
    """Runs all exits over all batches and keeps what they say.

    The model is put into evaluation mode and left as it was found.

    Args:
        model: The `MultiExitNet`, which may be compiled or wrapped for several processes; batches
            are moved to the device of its weights.
        loader: Batches in evaluation order: pairs of images (N C H W) and targets (N,), as a
            `DataLoader` gives them, or a `LabelledBatch` each.
        exit_macs: Cumulative multiply-adds of each exit (E); counted for the size of the first
            batch if None, and all must have that size.
        task: "classification" or "regression"; what the net has outputs for if None.
        names: Of all samples, in the order of the pairs, or where a batch's `indices` point to;
            "0", "1", ... if None.
        split: Name of the split, kept with the table.
        data_fingerprint: Hash that identifies the samples, kept with the table; that of all images
            and targets if None.
        class_names: Names of the classes, kept with the table.
        dtype: What logits are rounded to, float32 or float16.

    Raises:
        ExeuntError: The loader gave no samples or none that are batches, costs or targets do not
            fit the net, or logits are not finite, or too large for float16.
    """
    net = unwrapped(model)
    if exit_macs is not None:
        check_exit_macs(exit_macs, net.num_exits)
    task = task or ("regression" if net.num_classes == 1 else "classification")
    kind = torch.float32 if task == "regression" else torch.int64
    logits: list[Tensor] = []
    targets: list[Tensor] = []
    indices: list[int] = []
    digest = hashlib.blake2b(digest_size=16)

    def counted(batches: Iterable[LabelledBatch]) -> Iterator[LabelledBatch]:
        nonlocal exit_macs
        size = None
        for batch in batches:
            if exit_macs is None and len(batch.images):
                size = batch.images.shape[2:]
                height, width = size
                exit_macs = [info.macs for info in net.exit_info((height, width))]
            elif size not in (None, batch.images.shape[2:]):
                raise ExeuntError(
                    f"images of {_pixels(batch.images)} after others of {size[0]} x {size[1]}, "
                    "for which multiply-adds were counted; give exit_macs for images of any size"
                )
            if data_fingerprint is None:
                for part in (batch.images, batch.targets):
                    raw = part.detach().cpu().contiguous().flatten().view(torch.uint8)
                    digest.update(f"{part.dtype} {tuple(part.shape)}\n".encode() + raw.numpy().data)
            yield batch

    def keep(batch: LabelledBatch, exits: Tensor) -> None:
        logits.append(exits)
        targets.append(_targets_of(batch.targets.cpu(), kind))
        indices.extend(batch.indices.tolist())

    run_exits(net, counted(_numbered(loader, names)), names, dtype, keep)
    if not logits:
        raise ExeuntError(
            f"nothing to record: the {split} split gave no samples"
            if split != NOT_STATED
            else "nothing to record: the loader gave no samples"
        )
    assert exit_macs is not None
    return ExitTable(
        logits=torch.cat(logits, dim=1),
        targets=torch.cat(targets),
        task=task,
        exit_macs=tuple(exit_macs),
        names=tuple(str(index) if names is None else names[index] for index in indices),
        split=split,
        weights_fingerprint=weights_fingerprint(net),
        data_fingerprint=data_fingerprint or digest.hexdigest(),
        class_names=tuple(class_names),
    )


def _numbered(loader: Iterable[Any], names: Sequence[str] | None) -> Iterator[LabelledBatch]:
    """Batches that know their samples.

    Raises:
        ExeuntError: One is neither such a batch nor a pair, or there are fewer names than samples.
    """
    start = 0
    for batch in loader:
        if hasattr(batch, "images"):
            yield batch
            continue
        pair = isinstance(batch, list | tuple) and len(batch) == 2
        if not pair or not all(isinstance(part, Tensor) for part in batch):
            what = (
                [type(part).__name__ for part in batch] if isinstance(batch, list | tuple) else ""
            )
            raise ExeuntError(
                f"a batch must be a pair of tensors, images (N C H W) and targets (N,), not a "
                f"{type(batch).__name__}{f' of {chr(44).join(what)}' if what else ''}"
            )
        images, targets = batch
        if targets.shape not in ((len(images),), (len(images), 1)):
            raise ExeuntError(
                f"{len(images)} images need one target each, got shape {tuple(targets.shape)}"
            )
        end = start + len(images)
        if names is not None and end > len(names):
            raise ExeuntError(f"{len(names)} names for {end} samples or more; give one for each")
        yield _Numbered(images, targets.reshape(-1), torch.arange(start, end))
        start = end


def _targets_of(targets: Tensor, kind: torch.dtype) -> Tensor:
    """Whole numbers of any width as class indices, numbers as values."""
    return targets if kind == torch.int64 and targets.is_floating_point() else targets.to(kind)


def _pixels(images: Tensor) -> str:
    return " x ".join(map(str, images.shape[2:])) + " pixels"


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
    model: nn.Module,
    loader: Iterable[LabelledBatch],
    names: Sequence[str] | None,
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
            rows = batch.indices.tolist()
            named = [f"sample {row}" if names is None else names[row] for row in rows]
            for k, mine in enumerate(logits):
                require_finite_logits(mine, k, named.__getitem__)
            rounded = logits.to(dtype)
            if dtype == torch.float16 and rounded.isinf().any():
                raise ExeuntError(
                    f"a logit of {logits.abs().max():g} does not fit float16, whose largest number "
                    f"is {torch.finfo(dtype).max:g}; record float32"
                )
            keep(batch, rounded.cpu())
