"""Weights files: safetensors with all that is needed to use them honestly.

The metadata is one JSON object under the key `exeunt`, a closed schema: `WeightsInfo`. A file
without it is refused, since a net with the wrong transform or class order gives wrong answers
that look right.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from threading import get_ident
from typing import Any, Literal, NotRequired, TypedDict

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.modules.module import register_module_parameter_registration_hook

from exeunt.documents import fields_of, naming, parse_json
from exeunt.errors import ExeuntError, expect
from exeunt.files import replacing
from exeunt.finite import all_finite, require_finite_weights
from exeunt.hub import on_hub, pull_file
from exeunt.models.registry import build_model, foreign_name, unknown_name, with_form
from exeunt.net import MultiExitNet
from exeunt.runner.schema import validated

FORMAT = 1
SUFFIX = ".safetensors"
FORM_BEFORE = "paper"
"""The form of ReX in files and runs that do not say it: that of all networks then."""

STORAGE = {"float32": torch.float32, "float16": torch.float16}

_BEST = "best" + SUFFIX  # in a run folder


class _Scores(TypedDict):
    accuracy: NotRequired[float]
    mae: NotRequired[float]
    rmse: NotRequired[float]


class _Baseline(_Scores):
    answer: float


class _PolicyFigures(_Scores):
    spec: str
    saving: float
    exit_shares: NotRequired[list[float]]


class _SplitFigures(TypedDict):
    samples: int
    baseline: NotRequired[_Baseline]
    exits: list[_Scores]
    policy: NotRequired[_PolicyFigures]


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
        metrics: per split, `samples`, under `baseline` what one answer for all images scores, and
            per exit `accuracy` (0 to 1) or `mae`; under `policy` what the stored policy reached
            there.
        split: seed, fractions and limit that made the splits; see `exeunt.data.SplitSpec`.
        calibration_hashes: content hashes of the calibration images, sorted.
        data: `name`, `fingerprint` and `licence` of the images, as far as they are known.
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

    def of_data(self, key: Literal["name", "fingerprint", "licence"]) -> str:
        """What is known of the images, or `not stated`."""
        return self.data.get(key, "not stated")

    def to_json(self) -> str:
        """One object, with the form of ReX even where the arguments leave it to the network."""
        arguments = with_form(self.architecture, self.arguments)
        values = {"format": FORMAT, **asdict(self), "arguments": arguments}
        return json.dumps(values, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, source: str) -> WeightsInfo:
        """Reads what `to_json` wrote, now or when networks had another form of ReX by default.

        Raises:
            ExeuntError: naming `source`, for another format, a key that is missing or unknown, or
                a value of another type.
        """
        source = f"{source}: exeunt metadata"
        values = parse_json(text, source)
        if not isinstance(values, dict) or "format" not in values:
            raise ExeuntError(f"{source}: no JSON object with a format")
        form = values.pop("format")
        if form != FORMAT:
            raise ExeuntError(f"{source}: format {form!r}; this exeunt reads {FORMAT}")
        found = fields_of(cls, values, source)
        try:
            _refuse_odd_figures(found["metrics"])
        except ValueError as error:
            raise ExeuntError(f"{source}: {error}") from error
        arguments = with_form(found["architecture"], found["arguments"], FORM_BEFORE)
        return cls(**found | {"arguments": arguments})


def _refuse_odd_figures(metrics: dict[str, Any]) -> None:
    """Raises a ValueError for what is not in the form that `metrics_of` gives."""
    splits: dict[str, _SplitFigures] = validated(metrics, dict[str, _SplitFigures], "metrics")
    for name, split in splits.items():
        rows: list[Any] = [*split["exits"], *([split["policy"]] if "policy" in split else [])]
        scored = [{"accuracy", "mae", "rmse"} & row.keys() for row in rows]
        if not split["exits"] or not scored[0] or scored.count(scored[0]) < len(scored):
            raise ValueError(f"metrics.{name}: needs exits, all with the same scores")
        if "policy" in split and not sum(split["policy"].get("exit_shares", [1])) > 0:
            raise ValueError(f"metrics.{name}.policy.exit_shares must add up to 1")


def save_weights(path: str | Path, tensors: Mapping[str, Tensor], info: WeightsInfo) -> None:
    """Writes a weights file, whole or not at all. Floating-point tensors take `info.storage`.

    Raises:
        WriteError: when it cannot be written, as on a full disk; what stood at `path` still does.
        ExeuntError: for weights that are NaN or infinite, or too large for `info.storage`; or when
            an argument is of another type.
    """
    call = "save_weights(path, tensors, info)"
    expect(call, "path", path, str, Path)
    expect(call, "tensors", tensors, Mapping)
    expect(call, "info", info, WeightsInfo)
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
        WriteError: when it cannot be written, as on a full disk; what stood at `path` still does.
    """
    with replacing(path) as temporary:
        try:
            save_file(tensors, temporary, metadata=metadata)
        except SafetensorError as error:  # which is all that the system said
            code = re.search(r"\(os error (\d+)\)", str(error))
            raise OSError(os.strerror(int(code[1])) if code else str(error)) from error


def save_info(path: str | Path, info: WeightsInfo, out: str | Path) -> None:
    """Writes the tensors of a weights file, as they are, with other metadata; `out` may be `path`.

    Raises:
        ExeuntError: as `read_info`.
        WriteError: as `save_weights`.
    """
    _, tensors = _read(Path(path), tensors=True)
    save_tensors(out, tensors, {"exeunt": info.to_json()})


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
    floats = {n: t.float() if t.is_floating_point() else t for n, t in tensors.items()}
    with naming(path):
        _refuse_misfit(info, floats)
        net = build_model(info.architecture, **info.arguments)
    net.load_state_dict(floats)
    return net.eval(), info


def _refuse_misfit(info: WeightsInfo, tensors: Mapping[str, Tensor]) -> None:
    """Holds tensors against the network they claim to be of, before it takes any memory.

    Raises:
        ExeuntError: when there is no such network, or its tensors are others.
    """
    longest = max((size for tensor in tensors.values() for size in tensor.shape), default=0)
    _refuse_large(info.arguments, max(1024, len(tensors), longest))
    try:
        cut = 20_000 if "keep" in info.arguments else 0  # it is built whole, then cut
        with torch.device("meta"), _at_most(2 * len(tensors) + 100 + cut):
            net = build_model(info.architecture, **info.arguments)
        net.load_state_dict({name: tensor.to("meta") for name, tensor in tensors.items()})
    except ExeuntError:
        raise
    except Exception as error:  # of builders, anybody's, given arguments of any type
        said = f"{type(error).__name__}: {error}"[:2000]
        raise ExeuntError(f"does not fit {info.architecture}: {said}") from error
    names = 1 if info.task == "regression" else len(info.class_names)
    if net.num_classes != names or (info.task == "regression" and info.class_names):
        raise ExeuntError(
            f"{len(info.class_names)} class names do not go with {info.task} and "
            f"{net.num_classes} outputs"
        )


def _refuse_large(value: Any, most: int) -> None:
    """Refuses whole numbers that nothing in the file is as large as."""
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            _refuse_large(part, most)
    elif isinstance(value, int) and abs(value) > most:
        raise ExeuntError(f"its arguments have {value}, but no tensor of the file is that large")


@contextmanager
def _at_most(count: int) -> Iterator[None]:
    """Stops this thread when it makes more parameters than `count`."""
    made, thread = 0, get_ident()

    def counted(*_: object) -> None:
        nonlocal made
        made += get_ident() == thread
        if made > count:
            raise ExeuntError(f"its arguments make over {count} parameters, the file has fewer")

    handle = register_module_parameter_registration_hook(counted)
    try:
        yield
    finally:
        handle.remove()


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


def find_weights(model: str, also: Iterable[str] = ()) -> Path:
    """The weights file that MODEL means: a run folder, a weights file, a shipped name, or
    `hf:owner/name` on the Hugging Face Hub, from where it is fetched.

    Args:
        model: that.
        also: names that may have been meant besides those that ship.

    Raises:
        ExeuntError: when it is none of them, with what would be.
    """
    if on_hub(model):
        return pull_file(model)
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
    if (begun := foreign_name(model)) is not None:
        raise ExeuntError(begun)
    if path.suffix == SUFFIX or "/" in model:
        raise ExeuntError(f"{model}: no such run folder or weights file")
    raise ExeuntError(unknown_name("weights", model, [*shipped, *also]))
