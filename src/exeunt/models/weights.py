"""Weights files: safetensors with all that is needed to use them honestly.

The metadata is one JSON object under the key `exeunt`, a closed schema: `WeightsInfo`. A file
without it is refused, since a net with the wrong transform or class order gives wrong answers
that look right.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from exeunt.errors import ExeuntError
from exeunt.files import replacing
from exeunt.finite import all_finite, require_finite_weights
from exeunt.models.registry import build_model, unknown_name
from exeunt.net import MultiExitNet

FORMAT = 1
SUFFIX = ".safetensors"
STORAGE = {"float32": torch.float32, "float16": torch.float16}

_BEST = "best" + SUFFIX  # in a run folder


@dataclass(frozen=True)
class WeightsInfo:
    """What travels with the weights.

    Attributes:
        architecture: name for `create_model`.
        arguments: keyword arguments of the architecture, `num_classes` and `in_chans` among them.
        task: `"classification"` or `"regression"`.
        class_names: K names, in the order of the logits; empty for regression.
        transform: from image to input, as `exeunt.data.Transform.from_dict` takes it.
        policy: the exit policy to use unless told otherwise, as `parse_policy` takes it.
        metrics: per split, `samples` and per exit `accuracy` (0 to 1) or `mae`; under `policy`
            what the stored policy reached there.
        split: seed, fractions and limit that made the splits; see `exeunt.data.SplitSpec`.
        calibration_hashes: content hashes of the calibration images, sorted.
        data: `name`, `fingerprint` and `licence` of the images.
        command: what made these weights.
        versions: of exeunt, torch and Python.
        storage: how floating-point tensors are stored, `"float32"` or `"float16"`.
        policy_history: policies that were stored before, oldest first.
    """

    architecture: str
    arguments: dict[str, Any]
    task: Literal["classification", "regression"]
    class_names: list[str]
    transform: dict[str, Any]
    policy: str
    metrics: dict[str, Any]
    split: dict[str, Any]
    calibration_hashes: list[str]
    data: dict[str, str]
    command: str
    versions: dict[str, str]
    storage: Literal["float32", "float16"] = "float32"
    policy_history: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, source: str) -> WeightsInfo:
        """Reads what `to_json` wrote.

        Raises:
            ExeuntError: naming `source`, for another format, or a key that is missing or unknown.
        """
        try:
            values = json.loads(text)
            form = values.pop("format")
        except (json.JSONDecodeError, AttributeError, KeyError) as error:
            raise ExeuntError(f"{source}: the exeunt metadata is not readable ({error})") from error
        if form != FORMAT:
            raise ExeuntError(f"{source}: metadata format {form!r}; this exeunt reads {FORMAT}")
        names = {f.name for f in fields(cls)}
        if names != values.keys():
            odd = ", ".join(sorted(names ^ values.keys()))
            raise ExeuntError(f"{source}: metadata keys missing or unknown: {odd}")
        return cls(**values)


def save_weights(path: str | Path, tensors: Mapping[str, Tensor], info: WeightsInfo) -> None:
    """Writes a weights file, whole or not at all. Floating-point tensors take `info.storage`.

    Raises:
        ExeuntError: for weights that are NaN or infinite, or too large for `info.storage`; or as
            `save_tensors`.
    """
    require_finite_weights(tensors.items(), str(path))
    dtype = STORAGE[info.storage]
    stored = {
        name: (t.to(dtype) if t.is_floating_point() else t).detach().cpu().contiguous()
        for name, t in tensors.items()
    }
    for name, tensor in stored.items():
        if not all_finite(tensor):
            raise ExeuntError(
                f"{path}: {name} reaches {tensors[name].abs().max():g}, more than the "
                f"{torch.finfo(dtype).max:g} of {info.storage}; store float32"
            )
    save_tensors(path, stored, {"exeunt": info.to_json()})


def save_tensors(path: str | Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Writes a safetensors file, whole or not at all.

    Raises:
        ExeuntError: when it cannot be written, as on a full disk; what stood at `path` still does.
    """
    try:
        with replacing(path) as temporary:
            save_file(tensors, temporary, metadata=metadata)
    except SafetensorError as error:
        raise ExeuntError(f"{path}: cannot be written ({error})") from error


def save_info(path: str | Path, info: WeightsInfo, out: str | Path) -> None:
    """Writes the tensors of a weights file, as they are, with other metadata; `out` may be `path`.

    Raises:
        ExeuntError: as `read_info`.
    """
    _, tensors = _read(Path(path), tensors=True)
    with replacing(out) as temporary:
        save_file(tensors, temporary, metadata={"exeunt": info.to_json()})


def read_info(path: str | Path) -> WeightsInfo:
    """The metadata of a weights file; no tensor is read.

    Raises:
        ExeuntError: when the file is missing, is no safetensors file, or has no exeunt metadata.
    """
    return _read(Path(path), tensors=False)[0]


def load_weights(path: str | Path) -> tuple[MultiExitNet, WeightsInfo]:
    """Builds the network of a weights file, in evaluation mode and float32, with its metadata.

    Raises:
        ExeuntError: as `read_info`, and when the tensors do not fit the architecture, or some are
            NaN or infinite.
    """
    info, tensors = _read(Path(path), tensors=True)
    require_finite_weights(tensors.items(), str(path))
    net = build_model(info.architecture, **info.arguments)
    floats = {n: t.float() if t.is_floating_point() else t for n, t in tensors.items()}
    try:
        net.load_state_dict(floats)
    except RuntimeError as error:
        raise ExeuntError(f"{path}: does not fit {info.architecture}: {error}") from error
    return net.eval(), info


def _read(path: Path, tensors: bool) -> tuple[WeightsInfo, dict[str, Tensor]]:
    if not path.is_file():
        raise ExeuntError(f"{path}: no such weights file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            loaded = {name: file.get_tensor(name) for name in file.keys()} if tensors else {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ExeuntError(f"{path}: not a safetensors file ({error})") from error
    if "exeunt" not in metadata:
        raise ExeuntError(
            f"{path}: no exeunt metadata (class names, transform, policy); "
            "weights files are written by `exeunt train`"
        )
    return WeightsInfo.from_json(metadata["exeunt"], str(path)), loaded


def shipped_weights() -> dict[str, Path]:
    """Weights inside the package, by `arch.tag` name."""
    folder = Path(str(resources.files("exeunt") / "weights"))
    return {path.name.removesuffix(SUFFIX): path for path in sorted(folder.glob("*" + SUFFIX))}


def find_weights(model: str) -> Path:
    """The weights file that MODEL means: a run folder, a weights file or a shipped name.

    Raises:
        ExeuntError: when it is none of them, with what would be.
    """
    path = Path(model)
    if path.is_dir():
        if (path / _BEST).is_file():
            return path / _BEST
        raise ExeuntError(
            f"{model}: not a run folder, or one without a finished epoch (no {_BEST})"
        )
    if path.is_file():
        return path
    shipped = shipped_weights()
    if model in shipped:
        return shipped[model]
    if path.suffix == SUFFIX or "/" in model:
        raise ExeuntError(f"{model}: no such run folder or weights file")
    raise ExeuntError(unknown_name("weights", model, list(shipped)))
