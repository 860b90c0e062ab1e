"""`report.json` of an exported folder: what it is, what it costs, and how to make it again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from exeunt.errors import ExeuntError

FORMAT = 1
FILE = "report.json"
WEIGHTS = Path("python") / "weights.safetensors"


@dataclass(frozen=True)
class ExportReport:
    """What an exported folder says of itself.

    Attributes:
        name: prefix of all names in C.
        model: what was exported, as it was asked for.
        dtype: `int8` or `float32`.
        image_shape: (C, H, W).
        class_names: K of them.
        transform: from a photograph to the image, as `Transform.from_dict` takes it.
        policy: spec of the policy.
        integer_policy: what the C code compares; empty for float32.
        ranges: lower and upper end of every tensor that int8 covers; empty for float32.
        exit_macs: cumulative multiply-adds of each exit.
        memory: `arena_bytes`, of which `row_window_bytes` hold rows of the image; `bound_bytes`,
            the least that the schedule needs at one moment; `state_bytes`, of `exn_state` on a
            32-bit machine.
        flash: `weights_bytes` of all constants.
        fingerprint: of the weights.
        calibration: images that ranges and thresholds were found on, and what the policy does
            there.
        version: of exeunt.
    """

    name: str
    model: str
    dtype: str
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    transform: dict[str, Any]
    policy: str
    integer_policy: dict[str, Any]
    ranges: dict[str, tuple[float, float]]
    exit_macs: tuple[int, ...]
    memory: dict[str, int]
    flash: dict[str, int]
    fingerprint: str
    calibration: dict[str, Any]
    version: str

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=2) + "\n"

    @classmethod
    def read(cls, folder: str | Path) -> ExportReport:
        """Reads the report of a folder.

        Raises:
            ExeuntError: when there is none, or another version wrote it.
        """
        path = Path(folder) / FILE
        try:
            values = json.loads(path.read_text())
            form = values.pop("format")
            for name in ("image_shape", "class_names", "exit_macs"):
                values[name] = tuple(values[name])
            report = cls(**values)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ExeuntError(f"{path}: not the report of an exported folder ({error})") from error
        if form != FORMAT:
            raise ExeuntError(f"{path}: format {form!r}; this exeunt reads {FORMAT}")
        return report
