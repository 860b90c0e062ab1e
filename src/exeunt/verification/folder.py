"""An exported folder, whatever it holds, held against Python."""

from __future__ import annotations

from pathlib import Path

from exeunt.data import DataLike, as_data
from exeunt.errors import ExeuntError
from exeunt.export.c.report import FILE
from exeunt.export.onnx.reader import is_exported
from exeunt.verification.c import verify_c
from exeunt.verification.onnx import verify_onnx
from exeunt.verification.result import Verification


def verify(
    folder: str | Path,
    data: DataLike,
    *,
    device: str | None = None,
    operators: bool = False,
    cycles: bool = False,
    limit: int | None = None,
    split: str = "test",
    weights: str | None = None,
    engine: str | None = None,
) -> Verification:
    """Runs an exported network on images, and compares every exit with Python.

    C is built for this machine, with sanitizers, or run on an emulated device whose RAM is fenced
    at what it claims. ONNX files run with their policy beside PyTorch; in float32 scores must be
    the same within 1e-4.

    Args:
        folder: what an export wrote.
        data: labelled images, by their path or as a dataset (see `LabelledImages`).
        device: of C: `"cortex-m4"`, say, or another of `exeunt.export.c.BOARDS`; None for this
            machine.
        operators: of C on a device: instructions by operator too.
        cycles: of C on a device: cycles, milliseconds and millijoules too, estimated.
        limit: so many images; None for 64 (C), 4 (a device) or all (ONNX).
        split: of the images.
        weights: what an ONNX folder was made of; None for what it says itself.
        engine: that runs ONNX, `"onnxruntime"` or `"openvino"`.

    Returns:
        What was found: `CVerification` of C, `OnnxVerification` of ONNX files.

    Raises:
        ExeuntError: at the first difference, or when something cannot be built, read or run.
    """
    folder, data = Path(folder), as_data(data)
    if is_exported(folder):
        if device is not None:
            raise ExeuntError(f"--device {device}: {folder} holds ONNX files, which run here")
        for option, given in (("--operators", operators), ("--cycles", cycles)):
            if given:
                raise ExeuntError(f"{option} is for folders of C; {folder} holds ONNX files")
        return verify_onnx(folder, weights, data, limit, split, engine or "onnxruntime")
    if not (folder / FILE).exists():
        raise ExeuntError(f"{folder}: no folder that `exeunt export` wrote; it has no {FILE}")
    if weights is not None or engine is not None:
        raise ExeuntError(f"--weights and --engine are for ONNX folders; {folder} is none")
    if operators and device is None:
        raise ExeuntError("--operators counts instructions on a device; give --device too")
    if cycles and device is None:
        raise ExeuntError("--cycles are those of a device; give --device too")
    return verify_c(folder, data, device, limit, split, operators, cycles)
