"""Record the logits of every exit once, then replay policies over them as often as needed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, cast

import torch
from torch import Tensor, nn

from exeunt.data import Batch, Sample, Transform, UnreadableTally, eval_loader, fingerprint
from exeunt.errors import ExeuntError
from exeunt.inference import drive
from exeunt.policies import Confidence, Consistency, Entropy, Full, Policy

if TYPE_CHECKING:
    from exeunt.net import MultiExitNet

Task: TypeAlias = Literal["classification", "regression"]


class LabelledBatch(Protocol):
    """What `record` reads of a batch: images (N C H W), targets (N,), indices into `names` (N,)."""

    images: Tensor
    targets: Tensor
    indices: Tensor


@dataclass(frozen=True, eq=False)
class ExitTable:
    """The outputs of all E exits for N samples: all that policies and thresholds need to know.

    Attributes:
        logits: Outputs (E N K), float32; K = 1 for regression.
        targets: Class indices (N, int64) or values (N, float32).
        task: "classification" or "regression".
        exit_macs: Multiply-adds spent by a sample that leaves at each exit, cumulative (E).
        names: One name per sample (N).
        split: Which split the samples are: "train", "calibration" or "test".
        weights_fingerprint: `weights_fingerprint` of the net that was recorded.
        data_fingerprint: Hash that identifies the samples.

    Raises:
        ExeuntError: The parts do not fit each other, or there are no samples.
    """

    logits: Tensor
    targets: Tensor
    task: Task
    exit_macs: tuple[int, ...]
    names: tuple[str, ...]
    split: str
    weights_fingerprint: str
    data_fingerprint: str

    def __post_init__(self) -> None:
        shape = tuple(self.logits.shape)
        if self.logits.ndim != 3 or self.logits.dtype != torch.float32 or 0 in shape:
            raise ExeuntError(
                f"logits must be float32 of shape (E N K) and not empty, "
                f"got {self.logits.dtype} of shape {shape}"
            )
        exits, samples, outputs = shape
        if self.task not in ("classification", "regression"):
            raise ExeuntError(f"task must be classification or regression, got {self.task!r}")
        if (self.task == "regression") != (outputs == 1):
            raise ExeuntError(
                f"{self.task} does not go with {outputs} outputs per exit; "
                "regression has 1, classification 2 or more"
            )
        if self.targets.shape != (samples,) or len(self.names) != samples:
            raise ExeuntError(
                f"{samples} samples need as many targets and names, "
                f"got targets of shape {tuple(self.targets.shape)} and {len(self.names)} names"
            )
        if (
            self.task == "classification"
            and not 0 <= self.targets.min() <= self.targets.max() < outputs
        ):
            raise ExeuntError(
                f"class targets must be in 0..{outputs - 1}, "
                f"got {self.targets.min():g}..{self.targets.max():g}"
            )
        _check_exit_macs(self.exit_macs, exits)

    @property
    def num_exits(self) -> int:
        """E."""
        return len(self.logits)

    def __len__(self) -> int:
        """The number of samples, N."""
        return len(self.targets)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a policy does on a table: what it gets right and what it spends.

    Attributes:
        policy: The policy that was replayed.
        exit_index: Exit that each sample took, counted from 0 (N, int64).
        logits: Output of that exit (N K).
        mean_macs: Multiply-adds spent per sample, on average.
        saving: 1 - mean_macs / multiply-adds of the whole net.
        exit_shares: Share of the samples that took each exit (E), summing to 1.
        accuracy: Share of samples right at the exit taken, 0 to 1; None for regression.
        mae: Mean absolute error at the exit taken; None for classification.
        rmse: Root mean squared error at the exit taken; None for classification.
    """

    policy: Policy
    exit_index: Tensor
    logits: Tensor
    mean_macs: float
    saving: float
    exit_shares: tuple[float, ...]
    accuracy: float | None = None
    mae: float | None = None
    rmse: float | None = None


@dataclass(frozen=True)
class ExitRow:
    """One exit of a table, as if every sample took it.

    Attributes:
        index: The exit, counted from 0.
        macs: Multiply-adds up to and including this exit.
        accuracy: Share of samples right at this exit, 0 to 1; None for regression.
        oracle: Share right at this exit or any earlier one, which no policy can promise: the ReX
            paper calls it cumulative accuracy. None for regression.
        mean_confidence: Mean of the largest softmax probability; None for regression.
        mae: Mean absolute error; None for classification.
        rmse: Root mean squared error; None for classification.
    """

    index: int
    macs: int
    accuracy: float | None = None
    oracle: float | None = None
    mean_confidence: float | None = None
    mae: float | None = None
    rmse: float | None = None


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
    _check_exit_macs(exit_macs, model.num_exits)
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

    Raises:
        ExeuntError: More than 1 % of the images are unreadable, or as `record`.
    """
    tally = UnreadableTally(len(samples))

    def batches() -> Iterator[Batch]:
        loader = eval_loader(samples, transform, batch_size=batch_size, workers=workers)
        for batch in cast("Iterable[Batch]", loader):
            tally.add(batch)
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


def replay(table: ExitTable, policy: Policy) -> Outcome:
    """Shows recorded logits to a policy, exit by exit, as `infer` would show it live ones."""
    waiting = torch.arange(len(table))

    def recorded(k: int, keep: Tensor | None) -> Tensor:
        nonlocal waiting
        if keep is not None:
            waiting = waiting[keep]
        return table.logits[k][waiting]

    prediction = drive(policy, table.num_exits, recorded)
    counts: list[int] = prediction.exit_index.bincount(minlength=table.num_exits).tolist()
    spent = sum(count * macs for count, macs in zip(counts, table.exit_macs, strict=True))
    return Outcome(
        policy=policy,
        exit_index=prediction.exit_index,
        logits=prediction.logits,
        mean_macs=spent / len(table),
        saving=1 - spent / (len(table) * table.exit_macs[-1]),
        exit_shares=tuple(count / len(table) for count in counts),
        **_scores(table.task, prediction.logits, table.targets),
    )


def sweep(table: ExitTable, policies: Iterable[Policy]) -> list[Outcome]:
    """Replays several policies over one table, in the order given."""
    return [replay(table, policy) for policy in policies]


def exit_rows(table: ExitTable) -> list[ExitRow]:
    """What every exit is worth on its own, from the first to the last."""
    rows = []
    right_so_far = torch.zeros(len(table), dtype=torch.bool)
    for index, (logits, macs) in enumerate(zip(table.logits, table.exit_macs, strict=True)):
        scores = _scores(table.task, logits, table.targets)
        if table.task == "classification":
            right_so_far = right_so_far | (logits.argmax(dim=1) == table.targets)
            scores["oracle"] = right_so_far.double().mean().item()
            scores["mean_confidence"] = logits.softmax(dim=1).amax(dim=1).double().mean().item()
        rows.append(ExitRow(index, macs, **scores))
    return rows


def default_policies(table: ExitTable) -> list[Policy]:
    """A short list of policies worth looking at on this table, the full net first.

    Thresholds of entropy are fractions of ln K, its largest value; tolerances of regression are
    fractions of the standard deviation of the last exit's outputs.
    """
    counts = range(1, table.num_exits)
    if table.task == "regression":
        spread = table.logits[-1].std(correction=0).item()
        etas = [fraction * spread for fraction in (0.02, 0.05, 0.1, 0.2, 0.5) if spread > 0]
        return [Full(), *(Consistency(k, eta) for k in counts for eta in etas)]
    most_nats = math.log(table.logits.shape[2])
    return [
        Full(),
        *(Consistency(k) for k in counts),
        *(Confidence(threshold) for threshold in (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)),
        *(Entropy(fraction * most_nats) for fraction in (0.05, 0.1, 0.2, 0.4)),
    ]


def weights_fingerprint(model: nn.Module) -> str:
    """Hash of a model's tensors (32 hex digits): names, types, shapes and bytes, sorted by name.

    Metadata does not enter, so a file may be given a new policy and keep its fingerprint.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _scores(task: Task, logits: Tensor, targets: Tensor) -> dict[str, float]:
    """Scores of outputs (N K) against targets (N,), under the names of `Outcome`'s fields."""
    if task == "classification":
        return {"accuracy": (logits.argmax(dim=1) == targets).double().mean().item()}
    error = logits[:, 0].double() - targets.double()
    return {"mae": error.abs().mean().item(), "rmse": error.square().mean().sqrt().item()}


def _check_exit_macs(exit_macs: Sequence[int], num_exits: int) -> None:
    if len(exit_macs) != num_exits:
        raise ExeuntError(f"exit_macs needs one number per exit ({num_exits}), got {exit_macs}")
    if sorted(exit_macs) != list(exit_macs) or exit_macs[0] < 0 or exit_macs[-1] <= 0:
        raise ExeuntError(f"exit_macs must be cumulative and end above 0, got {exit_macs}")


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
