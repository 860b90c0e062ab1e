"""`report.json` of an exported folder: what it is, what it costs, and how to make it again."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from exeunt.documents import fields_of, parse_json, read_text
from exeunt.errors import ExeuntError

FORMAT = 6
_OWNED = (3, 4, 5, FORMAT)
"""Formats whose lists of files are understood."""
FILE = "report.json"
WEIGHTS = Path("python") / "weights.safetensors"

_ALWAYS = ("name", "dtype", "image_shape", "kernels", "memory", "version")


@dataclass(frozen=True)
class Listing:
    """What a report says about the folder's files; the rest of it is not asked for.

    Attributes:
        name: prefix of all names in C.
        files: all that were written, by their paths below the folder; () if it is from before
            there were lists.
        runtime: sources of the runtime that are used; () in older folders.
        own: files of kernels that are not the runtime's; () where there are none.
        format: of the report.
    """

    name: str
    files: tuple[str, ...]
    runtime: tuple[str, ...]
    own: tuple[str, ...]
    format: int


def read_listing(folder: Path) -> Listing:
    """The files of an exported folder, of this exeunt's shape.

    Raises:
        ExeuntError: when there is no report, or one of something else or of another version.
    """
    listing = _listing(folder)
    if listing.format != FORMAT:
        raise ExeuntError(
            f"{folder / FILE}: format {listing.format}; this exeunt reads {FORMAT}, so export the "
            "network again"
        )
    return listing


def listed_files(folder: Path) -> tuple[str, ...]:
    """The files of an exported folder, of this shape or an older one, as its report lists them.

    Raises:
        ExeuntError: when there is no report, or one of something else.
    """
    return _listing(folder).files


def _listing(folder: Path) -> Listing:
    path = folder / FILE
    try:
        values = parse_json(read_text(path), path)
        files, runtime, own = (values.get(name, []) for name in ("files", "runtime", "own"))
        known = values["format"] in _OWNED and all(name in values for name in _ALWAYS)
        texts = [values.get("name"), *files, *runtime, *own]
        if not known or not all(isinstance(text, str) for text in texts):
            raise ValueError("it is of something else")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExeuntError(f"{path}: not the report of an exported folder ({error})") from error
    return Listing(values["name"], tuple(files), tuple(runtime), tuple(own), values["format"])


@dataclass(frozen=True)
class ExportReport:
    """What an exported folder says of itself.

    Attributes:
        name: prefix of all names in C.
        model: what was exported, as it was asked for.
        dtype: `int8` or `float32`.
        image_shape: (C, H, W).
        class_names: K of them; none for a regression.
        transform: from a photograph to the image, as `Transform.from_dict` takes it.
        policy: spec of the policy.
        task: `classification` or `regression`, whose exits give one value.
        policy_units: what the numbers of the policy are counted in, by their names.
        integer_policy: what int8 compares, the fields of `IntegerPolicy`; empty for float32.
        ranges: lower and upper end of every tensor that int8 covers; empty for float32.
        exit_macs: cumulative multiply-adds of each exit.
        nodes: what is carried out, in the order of the tables in C: `module`, `operator`, `macs`.
        memory: `arena_bytes`, of which `row_window_bytes` hold rows of the image, and
            `bound_bytes`, the least that the order of rows needs at one moment, and
            `least_bytes`, the same with what lies between places that begin at whole words.
        plain_exit_macs: `exit_macs` of the network if nothing is made again, nor anything before
            an exit answers that it does not need; () in older folders.
        recomputed_macs: multiply-adds of all that are spent on rows and maps made again.
        flash: `constants_bytes`, of weights, biases and tables, which lie in the order in which
            they are first used; `exit_constants_bytes`, of those that are used before each exit.
        kernels: of the runtime that are used.
        runtime: the sources of the runtime that these need; the folder holds all of them.
        own: files of kernels that are not the runtime's, which lie with the network.
        layout: build system whose files the folder has, or `all`.
        fingerprint: of the weights.
        calibration: how many images ranges and thresholds were found on, and what the policy does
            there; empty if there were none.
        version: of exeunt.
        files: all that were written, by their paths below the folder; () in older folders.
    """

    name: str
    model: str
    dtype: Literal["int8", "float32"]
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    transform: dict[str, Any]
    policy: str
    integer_policy: dict[str, Any]
    ranges: dict[str, tuple[float, float]]
    exit_macs: tuple[int, ...]
    nodes: tuple[dict[str, Any], ...]
    memory: dict[str, int]
    flash: dict[str, Any]
    kernels: tuple[str, ...]
    runtime: tuple[str, ...]
    layout: str
    fingerprint: str
    calibration: dict[str, Any]
    version: str
    files: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    recomputed_macs: int = 0
    task: Literal["classification", "regression"] = "classification"
    policy_units: dict[str, str] = field(default_factory=dict)
    plain_exit_macs: tuple[int, ...] = ()

    @classmethod
    def read(cls, folder: str | Path) -> ExportReport:
        """Reads the report of a folder.

        Raises:
            ExeuntError: when there is none, or another version wrote it.
        """
        path = Path(folder) / FILE
        values = parse_json(read_text(path), path)
        if not isinstance(values, dict) or "format" not in values:
            raise ExeuntError(f"{path}: not the report of an exported folder")
        form = values.pop("format")
        if form != FORMAT:
            raise ExeuntError(
                f"{path}: format {form!r}; this exeunt reads {FORMAT}, so export the network again"
            )
        return cls(**fields_of(cls, values, path))
