"""A folder of C, held against Python on images."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from exeunt.cycles import cycle_facts, estimate_run, exit_cycles, find_part
from exeunt.data import make_splits, take
from exeunt.data.decode import UnreadableImage
from exeunt.errors import ExeuntError, ExeuntWarning
from exeunt.evaluate.splits import open_known
from exeunt.export.c import Bundle, build_fenced, build_host, compare, run_host, run_program
from exeunt.export.c.report import WEIGHTS
from exeunt.trained import read_split
from exeunt.verification.device import device_facts, operator_facts
from exeunt.verification.result import CVerification

if TYPE_CHECKING:
    from exeunt.data import Data, Sample
    from exeunt.export.c import Comparison

_BATCH = 8


def verify_c(
    folder: Path,
    images: Data,
    device: str | None,
    limit: int | None,
    split: str,
    operators: bool = False,
    cycles: bool = False,
) -> CVerification:
    """Builds and runs the folder, here or on a device, and holds every exit against Python.

    Raises:
        ExeuntError: at the first difference, or for whatever cannot be built, read or run.
    """
    bundle = Bundle.load(folder)
    part = find_part(device) if device is not None and cycles else None
    samples = _pick(bundle, images, split, limit or (4 if device else 64))
    with tempfile.TemporaryDirectory(prefix="exeunt-") as temporary:
        raw, tensors, kept = _prepare(bundle, samples, Path(temporary))
        run = None
        if device is None:
            program = Path(temporary) / bundle.report.name
            build_host(folder, program)
            answers: Any = run_host(program, raw)
        else:
            place = Path(temporary) / "device"
            place.mkdir()
            built = build_fenced(folder, bundle.report.name, raw, place, device)
            run = run_program(built, raw, len(kept))
            answers = run.answers
        names, scores = [sample.name for sample in kept], _scores(bundle, tensors)
        found = compare(answers, scores, names, integers=bundle.report.dtype == "int8")
        _check_exits(bundle, found, names)
        facts = _facts(bundle, found, kept)
        if run is not None and device is not None:
            facts |= device_facts(bundle, run, found)
            if operators:
                facts["operators"] = operator_facts(bundle, raw, device)
            if part is not None:
                between = estimate_run(built, raw, len(kept), device)
                taken = found.exit_index.tolist()
                facts["cycles"] = cycle_facts(
                    exit_cycles(between, found.exits), found.exits, taken, part
                )
    return CVerification(**facts)


def _check_exits(bundle: Bundle, found: Comparison, names: list[str]) -> None:
    """Refuses integers that leave elsewhere than Python's policy says.

    Raises:
        ExeuntError: naming the first image.
    """
    if bundle.policy is None:
        return
    wanted, _ = bundle.policy.leave([mine.long() for mine in found.scores])
    for name, here, there in zip(names, found.exit_index.tolist(), wanted.tolist(), strict=True):
        if here != there:
            raise ExeuntError(f"{name}: leaves at exit {here + 1} in C and {there + 1} in Python")


def _worth(bundle: Bundle, found: Comparison, targets: torch.Tensor) -> dict[str, Any]:
    """How right the exits are, and the policy: shares of images, or mean absolute errors."""
    if bundle.report.task == "regression":
        errors = (bundle.values(found.scores) - targets).abs().double()
        mine = errors.gather(0, found.exit_index[None])
        return {"exit_mae": tuple(errors.mean(1).tolist()), "mae": float(mine.mean())}
    return {
        "exit_accuracy": tuple((found.classes == targets).double().mean(1).tolist()),
        "accuracy": float((found.class_index == targets).double().mean()),
    }


def _pick(bundle: Bundle, images: Data, split: str, limit: int) -> tuple[Sample, ...]:
    source = open_known(images, bundle.info.task, bundle.info.class_names)
    spec = read_split(bundle.folder / WEIGHTS, bundle.info)
    samples = source.samples
    if split != "all":
        samples = make_splits(source, spec)[split]
    return take(samples, limit, spec.seed)


def _prepare(
    bundle: Bundle, samples: tuple[Sample, ...], place: Path
) -> tuple[Path, torch.Tensor, list[Sample]]:
    """The images as the device gets them, one file of bytes, and as Python takes them."""
    transform = bundle.transform
    raw, tensors, kept = place / "images.bin", [], []
    height, width = transform.image_size
    with raw.open("wb") as file:
        for sample in samples:
            try:
                image = transform.pixels(sample.place.load())
            except UnreadableImage as error:
                warnings.warn(f"{error}, left out", ExeuntWarning, stacklevel=2)
                continue
            pixels = np.asarray(image).reshape(height, width, -1)
            file.write(pixels.tobytes())
            tensors.append(transform.normalise_pixels(pixels))
            kept.append(sample)
    if not kept:
        raise ExeuntError("none of the images can be read")
    return raw, torch.stack(tensors), kept


def _scores(bundle: Bundle, tensors: torch.Tensor) -> list[torch.Tensor]:
    with torch.inference_mode():
        parts = [bundle.scores(batch) for batch in torch.split(tensors, _BATCH)]
    return [torch.cat(exits) for exits in zip(*parts, strict=True)]


def _facts(bundle: Bundle, found: Comparison, kept: list[Sample]) -> dict[str, Any]:
    targets = torch.tensor([sample.target for sample in kept])
    exit_macs = torch.tensor(bundle.report.exit_macs, dtype=torch.float64)
    macs = float(exit_macs[found.exit_index].mean())
    return {
        "dtype": bundle.report.dtype,
        "images": found.images,
        "exits": found.exits,
        "same_bits": found.same_bits,
        **_worth(bundle, found, targets),
        "exit_macs": tuple(bundle.report.exit_macs),
        "exit_shares": tuple(
            float((found.exit_index == k).double().mean()) for k in range(found.exits)
        ),
        "mean_macs": macs,
        "saving": 1 - macs / float(exit_macs[-1]),
    }
