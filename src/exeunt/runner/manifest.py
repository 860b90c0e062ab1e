"""The page that says what a folder holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict, get_type_hints

from exeunt.runner.document import bytes_of, parse_json
from exeunt.runner.error import RunnerError
from exeunt.runner.schema import validated_keys

FORMAT = 2
MANIFEST = "manifest.json"


class FileEntry(TypedDict):
    """A file beside the manifest."""

    file: str
    sha256: str
    size_bytes: int


class TensorEntry(TypedDict):
    """A tensor, its shape without the batch."""

    name: str
    shape: list[int]


class ConvEntry(TypedDict):
    """The convolution of a stem, its axes as `exeunt.native.axis.Axis` has them."""

    channels: int
    outputs: int
    down: list[int]
    across: list[int]
    act: str | None


class RexEntry(TypedDict):
    """The ReX of a stem."""

    cell: str
    hidden1: int
    hidden2: int
    branches: list[bool]
    down: list[int]
    across: list[int]


class StemEntry(TypedDict):
    """The first stage's other way: its beginning by the kernels, and the rest."""

    weights: FileEntry
    rest: FileEntry
    gives: str
    conv: ConvEntry
    rex: RexEntry


class StageEntry(FileEntry):
    """A stage."""

    inputs: list[str]
    outputs: list[TensorEntry]
    logits: str
    passed_on: list[str]
    macs: int
    stem: NotRequired[StemEntry]


class SingleEntry(FileEntry):
    """All stages in one graph."""

    inputs: list[str]
    outputs: list[str]


class TransformEntry(TypedDict):
    """From an image to the input."""

    image_size: list[int]
    mean: list[float]
    std: list[float]
    interpolation: Literal["bilinear", "bicubic"]
    crop_fraction: float
    mode: Literal["RGB", "L"]


class Manifest(TypedDict):
    """What the runner needs to be as it is here. What else the page holds is sealed with it."""

    format: int
    image: TensorEntry
    transform: TransformEntry
    class_names: list[str]
    policy: str
    stages: list[StageEntry]
    single: SingleEntry | None
    weights: dict[str, Any]
    metrics: dict[str, Any]
    calibration: dict[str, Any]
    fingerprint: str
    sha256: str


def digest(manifest: Mapping[str, Any]) -> str:
    """The hash of a manifest, over all but its own entry `sha256`."""
    rest = {key: value for key, value in manifest.items() if key != "sha256"}
    return _hash(rest)


def seal(manifest: Mapping[str, Any]) -> str:
    """The hash of what a manifest says, but for sizes and hashes of files.

    It stands in the first stage's file, so that one does not go with another manifest.
    """
    return _hash(_without_hashes(manifest))


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _without_hashes(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _without_hashes(part)
            for key, part in value.items()
            if key not in ("sha256", "size_bytes")
        }
    return [_without_hashes(part) for part in value] if isinstance(value, list | tuple) else value


def exported_bytes(
    folder: Path, says: Mapping[str, Any], others: Mapping[str, str] | None = None
) -> bytes:
    """A file of the folder, whole, that has to be the one that was written.

    Args:
        folder: where it lies.
        says: what the manifest says of it: `file`, `sha256` and `size_bytes`.
        others: names of files by their hashes, for which it may have been mistaken.

    Raises:
        RunnerError: when it cannot be read, is another, or would lie elsewhere.
    """
    name = says["file"]
    if Path(name).name != name or name in ("", "..") or not name.isprintable() or "\\" in name:
        raise RunnerError(f"{folder / MANIFEST}: {name!r} is not the name of a file in its folder")
    file = folder / name
    data = bytes_of(file, 1 << 31)
    found = hashlib.sha256(data).hexdigest()
    if found != says["sha256"] or len(data) != says["size_bytes"]:
        other = f"is {others[found]}" if others and found in others else "has other contents"
        raise RunnerError(f"{file}: not the file that was exported; it {other}")
    return data


def read_manifest(path: Path) -> dict[str, Any]:
    """Reads a manifest and checks it against its own hash.

    Raises:
        RunnerError: when it is none, is of another format, or was edited.
    """
    data = bytes_of(path)
    try:
        manifest: dict[str, Any] = parse_json(data)
        if not isinstance(manifest, dict):
            raise ValueError("no JSON object")
        if manifest.get("format") != FORMAT:
            form = manifest.get("format", "nothing")
            raise RunnerError(f"{path}: format {form!r}; this program reads {FORMAT}")
        kinds = get_type_hints(Manifest, include_extras=True)
        validated_keys({key: value for key, value in manifest.items() if key in kinds}, kinds)
    except RunnerError:
        raise
    except ValueError as error:
        raise RunnerError(f"{path}: not the manifest of an exported folder ({error})") from error
    if manifest["sha256"] != digest(manifest):
        raise RunnerError(f"{path}: not as it was exported; its hash does not fit")
    return manifest
