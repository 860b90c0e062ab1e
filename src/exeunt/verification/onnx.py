"""A folder of ONNX files, held against PyTorch on images."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from exeunt.data import eval_loader
from exeunt.errors import ExeuntError, ExeuntWarning
from exeunt.evaluate import weights_fingerprint
from exeunt.evaluate.splits import open_labelled, select_samples
from exeunt.export.onnx.reader import open_folder
from exeunt.runner import RunnerError
from exeunt.trained import TrainedModel
from exeunt.verification.result import OnnxVerification

if TYPE_CHECKING:
    from torch import Tensor

    from exeunt.data import Data, Sample
    from exeunt.export.onnx.compare import Comparison
    from exeunt.runner import StagedModel

_BATCH = 32


def verify_onnx(
    folder: Path, weights: str | None, data: Data, limit: int | None, split: str, engine: str
) -> OnnxVerification:
    """Runs the folder and what it was made of on the same images.

    Raises:
        ExeuntError: when scores differ, a file is missing or was changed, or these are not the
            weights that it was made of.
    """
    from exeunt.export.onnx.compare import compare_onnx
    from exeunt.export.onnx.single_run import SingleGraph

    model = open_folder(folder, engine=engine)
    try:
        single = SingleGraph(model) if model.manifest["single"] else None
    except RunnerError as error:
        raise ExeuntError(str(error)) from error
    trained = _origin(model, weights)
    samples = select_samples(trained, open_labelled(trained, data), split, limit)
    kept: list[Sample] = []
    found = compare_onnx(model, trained.net, _batches(trained, samples, kept), single)
    return _result(model, found, kept)


def _origin(model: StagedModel, weights: str | None) -> TrainedModel:
    """The weights that a folder was made of."""
    name = weights or model.manifest["model"]
    try:
        trained = TrainedModel.load(name)
    except ExeuntError as error:
        if weights is not None:
            raise
        raise ExeuntError(
            f"{model.folder} was made of {name}, which is not here; give --weights ({error})"
        ) from error
    if weights_fingerprint(trained.net) != model.manifest["fingerprint"]:
        raise ExeuntError(f"{name}: not the weights that {model.folder} was made of")
    return trained


def _batches(
    trained: TrainedModel, samples: tuple[Sample, ...], kept: list[Sample]
) -> Iterator[tuple[list[str], Tensor]]:
    """Names and images; `kept` gets the samples that can be read."""
    loader: Any = eval_loader(samples, trained.transform, batch_size=_BATCH)
    for batch in loader:
        for name, reason in batch.unreadable.items():
            warnings.warn(f"{name}: {reason}, left out", ExeuntWarning, stacklevel=2)
        if len(batch):
            mine = [samples[index] for index in batch.indices.tolist()]
            kept += mine
            yield [sample.name for sample in mine], batch.images
    if not kept:
        raise ExeuntError("none of the images can be read")


def _result(model: StagedModel, found: Comparison, kept: list[Sample]) -> OnnxVerification:
    shares = [float((found.exit_index == k).double().mean()) for k in range(model.num_exits)]
    macs = sum(share * cost for share, cost in zip(shares, model.exit_macs, strict=True))
    result = OnnxVerification(
        dtype=model.manifest["dtype"],
        policy=model.policy.spec,
        images=found.images,
        exits=model.num_exits,
        largest_difference=found.largest_difference,
        same=found.same,
        exit_agreement=tuple(found.exit_agreement),
        borderline=tuple(found.borderline),
        single_same=found.single_same,
        exit_shares=tuple(shares),
        mean_macs=macs,
        saving=1 - macs / model.exit_macs[-1],
    )
    if not model.class_names:
        return result
    targets = torch.tensor([sample.target for sample in kept])
    return replace(
        result,
        exit_accuracy=tuple((found.classes == targets).double().mean(1).tolist()),
        accuracy=float((found.class_index == targets).double().mean()),
    )
