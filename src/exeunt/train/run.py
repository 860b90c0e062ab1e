"""A run folder: `run.json`, `metrics.csv`, `last.safetensors`, `best.safetensors`."""

from __future__ import annotations

import csv
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

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

    def begun(self) -> dict[str, Any] | None:
        """What `run.json` says; None where no run has begun.

        Raises:
            ExeuntError: when it is no run's record.
        """
        if not self._record.exists():
            return None
        try:
            record: dict[str, Any] = json.loads(self._record.read_text(encoding="utf-8"))
            record["config"] = TrainConfig.defaults() | record["config"]  # of versions since
            record["data"] = dict(record["data"])
        except (ValueError, KeyError, TypeError) as error:
            raise ExeuntError(f"{self._record}: not a run's record ({error})") from error
        return record

    def open(self, record: dict[str, Any], resume: bool) -> bool:
        """Starts the folder, or goes on with it; returns whether there is a state to go on from.

        Args:
            record: what `run.json` says; its `config` and `data` must not change on the way.
            resume: go on where the folder's run stopped, if it has begun.

        Raises:
            ExeuntError: when the folder is in use and `resume` is off, or holds another run.
        """
        before = self.begun()
        if before is not None:
            if not resume:
                raise ExeuntError(
                    f"{self.folder} holds a run already; --resume goes on with it, another --out "
                    "starts afresh"
                )
            self._refuse_other(before, record)
        elif self.folder.exists() and any(self.folder.iterdir()):
            raise ExeuntError(f"{self.folder} is not empty and is no run; choose another --out")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.write_record(record)
        return self.last.exists()

    def _refuse_other(self, before: dict[str, Any], record: dict[str, Any]) -> None:
        for part in ("config", "data"):
            for key, new in record[part].items():
                old = before[part].get(key)
                if old != new:
                    raise ExeuntError(
                        f"{self.folder} was started with {part}.{key}={old!r}, not {new!r}; resume "
                        "with the same settings and data, or choose another --out"
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
