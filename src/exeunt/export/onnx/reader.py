"""Exported folders of ONNX files on the command line."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from exeunt.data import Transform
from exeunt.errors import ExeuntError
from exeunt.models import WeightsInfo
from exeunt.models.weights import FORMAT
from exeunt.runner import MANIFEST, RunnerError, StagedModel
from exeunt.trained import TrainedModel

_PACKAGES = {"onnxruntime": "exeunt[onnx]", "openvino": "exeunt[openvino]"}


def is_exported(model: str | Path) -> bool:
    """Whether MODEL is a folder of ONNX files, be it damaged."""
    return any((Path(model) / file).is_file() for file in (MANIFEST, "stage_1.onnx"))


def open_folder(
    folder: str | Path,
    policy: str | None = None,
    threads: int | None = None,
    engine: str = "onnxruntime",
) -> StagedModel:
    """Opens an exported folder.

    Args:
        folder: where it lies.
        policy: spec of another policy than the stored one.
        threads: that it runs on; None for as many as there are cores.
        engine: one of the runner's.

    Raises:
        ExeuntError: when it is damaged, or the engine is not installed.
    """
    if find_spec(engine) is None:
        raise ExeuntError(f'{engine} is not installed: pip install "{_PACKAGES[engine]}"')
    try:
        return StagedModel(folder, threads or 0, policy, engine=engine)
    except RunnerError as error:
        raise ExeuntError(str(error)) from error


def open_exits(
    model: str, device: str = "cpu", threads: int | None = None, engine: str | None = None
) -> TrainedModel:
    """Opens MODEL, weights or an exported folder, to run all exits; what a folder gives can be
    recorded and knows its splits, but its `net` has no weights.

    Raises:
        ExeuntError: as `TrainedModel.load` and `open_folder`, or the device or engine is for the
            other kind.
    """
    if not is_exported(model):
        if engine is not None:
            raise ExeuntError(f"--engine {engine} is for exported ONNX folders; {model} is none")
        return TrainedModel.load(model, device)
    if device != "cpu":
        raise ExeuntError(
            f"--device {device}: {model} is an exported folder, which runs on the cpu"
        )
    from exeunt.export.onnx.net import OnnxNet

    staged = open_folder(model, None, threads, engine or "onnxruntime")
    says = staged.manifest
    net: Any = OnnxNet(staged.chain, says["sha256"])
    transform = Transform.from_dict(says["transform"])
    return TrainedModel(Path(model), net, _info(model, says), transform, staged.exit_macs)


def _info(model: str, says: dict[str, Any]) -> WeightsInfo:
    """What the manifest keeps of the weights' metadata; hashes of images are not in it."""
    shared = {name: says[name] for name in ("class_names", "transform", "policy", "metrics")}
    values = {"calibration_hashes": [], **says["weights"], **shared, "format": FORMAT}
    return WeightsInfo.from_json(json.dumps(values), f"{Path(model) / MANIFEST}: of its weights")
