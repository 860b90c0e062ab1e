"""A run folder: `run.json`, `metrics.csv`, `last.safetensors`, `best.safetensors`."""

from __future__ import annotations

import csv
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from exeunt.documents import parse_json, read_text
from exeunt.errors import ExeuntError
from exeunt.files import replacing
from exeunt.train.config import TrainConfig


def versions() -> dict[str, str]:
    """What a result may depend on, by name."""
    from importlib.metadata import version

    return {
        "exeunt": version("exeunt"),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


class Run:
    """The folder of one training run; nothing is written before `open`.

    Attributes:
        folder: where it is.
        last: the training state after the last complete epoch.
        best: the weights file, of the epoch with the best last exit on the calibration split.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.last = self.folder / "last.safetensors"
        self.best = self.folder / "best.safetensors"
        self._record = self.folder / "run.json"

    def open(self, record: dict[str, Any], resume: bool) -> bool:
        """Starts the folder, or goes on with it; returns whether there is a state to go on from.

        Args:
            record: what `run.json` says; its `config` and `data` must not change on the way.
            resume: go on where the folder's run stopped, if it has begun.

        Raises:
            ExeuntError: when the folder is in use and `resume` is off, or holds another run.
        """
        if self._record.exists():
            if not resume:
                raise ExeuntError(
                    f"{self.folder} holds a run already; --resume goes on with it, another --out "
                    "starts afresh"
                )
            self._refuse_other(record)
        elif self.folder.exists() and any(self.folder.iterdir()):
            raise ExeuntError(f"{self.folder} is not empty and is no run; choose another --out")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.write_record(record)
        return self.last.exists()

    def _refuse_other(self, record: dict[str, Any]) -> None:
        try:
            before = parse_json(read_text(self._record), self._record)
            before["config"] = TrainConfig.defaults() | before["config"]  # of versions since
            pairs = [
                (f"{part}.{key}", before[part].get(key), value)
                for part in ("config", "data")
                for key, value in record[part].items()
            ]
        except (KeyError, AttributeError, TypeError) as error:
            raise ExeuntError(f"{self._record}: not a run's record ({error})") from error
        for key, old, new in pairs:
            if old != new:
                raise ExeuntError(
                    f"{self.folder} was started with {key}={old!r}, not {new!r}; resume with the "
                    "same settings and data, or choose another --out"
                )

    def write_record(self, record: dict[str, Any]) -> None:
        with replacing(self._record) as temporary:
            temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")

    def write_metrics(self, history: Sequence[dict[str, Any]]) -> None:
        """`metrics.csv`: one row per epoch; lists take one column per exit (`name_1`, ...)."""
        rows = [flat(entry) for entry in history]
        with (
            replacing(self.folder / "metrics.csv") as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def flat(entry: dict[str, Any]) -> dict[str, Any]:
    """One column per exit for every list."""
    columns: dict[str, Any] = {}
    for key, value in entry.items():
        if isinstance(value, list):
            columns |= {f"{key}_{i}": part for i, part in enumerate(value, 1)}
        else:
            columns[key] = value
    return columns
