"""A run folder: `run.json`, `metrics.csv`, `last.safetensors`, `best.safetensors`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from exeunt.documents import parse_json, read_text
from exeunt.errors import ExeuntError
from exeunt.files import leftover, remove_leftovers, replacing, write_csv
from exeunt.locks import locked
from exeunt.models import FORM_BEFORE, with_form
from exeunt.training.config import TrainConfig

LOCK = ".exeunt.lock"
_MAY_CHANGE = ("allow_unreadable",)  # what a run that stopped there goes on with, otherwise


class Run:
    """The folder of one training run; nothing is written before `open`.

    To be used in a `with` block, at whose end the folder is free for another process.

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
        self._held = ExitStack()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *error: object) -> None:
        self._held.close()

    def begun(self) -> dict[str, Any] | None:
        """What `run.json` says; None where no run has begun.

        Raises:
            ExeuntError: when it is no run's record.
        """
        if not self._record.exists():
            return None
        try:
            record: dict[str, Any] = parse_json(read_text(self._record), self._record)
            config = TrainConfig.defaults() | record["config"]  # of versions since
            if model := config.get("model"):
                given = config.get("model_args", {})
                config["model_args"] = with_form(model, given, FORM_BEFORE)
            record["config"] = config
            record["data"] = dict(record["data"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ExeuntError(f"{self._record}: not a run's record ({error})") from error
        return record

    def open(self, record: dict[str, Any], resume: bool) -> bool:
        """Starts the folder, or goes on with it; returns whether there is a state to go on from.

        No other process can open it from now on. What one that was killed left behind is removed.

        Args:
            record: what `run.json` says; its `config` and `data` must not change on the way.
            resume: go on where the folder's run stopped, if it has begun.

        Raises:
            ExeuntError: when the folder holds a run and `resume` is off, or another run, or is no
                run's, or another process is in it.
            WriteError: when it cannot be written.
        """
        self._refuse_unusable(record, resume)
        self._held.close()  # a run may be opened again
        self._held.enter_context(locked(self.folder / LOCK, self.folder))
        self._refuse_unusable(record, resume)
        remove_leftovers(self.folder, whoever=True)
        self.write_record(record)
        return self.last.exists()

    def _refuse_unusable(self, record: dict[str, Any], resume: bool) -> None:
        before = self.begun()
        if before is not None:
            if not resume:
                raise ExeuntError(
                    f"{self.folder} holds a run already; --resume goes on with it, another --out "
                    "starts afresh"
                )
            self._refuse_other(before, record)
        elif self.folder.is_dir():  # killed while it began, a run leaves these two at most
            if any(not leftover(file) and file.name != LOCK for file in self.folder.iterdir()):
                raise ExeuntError(f"{self.folder} is not empty and is no run; choose another --out")
        elif self.folder.exists():
            raise ExeuntError(f"{self.folder} is a file; choose another --out")

    def _refuse_other(self, before: dict[str, Any], record: dict[str, Any]) -> None:
        for part in ("config", "data"):
            for key, new in record[part].items():
                old = before[part].get(key)
                if old != new and key not in _MAY_CHANGE:
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
        write_csv(self.folder / "metrics.csv", list(rows[0]), rows)


def flat(entry: dict[str, Any]) -> dict[str, Any]:
    """One column per exit for every list."""
    columns: dict[str, Any] = {}
    for key, value in entry.items():
        if isinstance(value, list):
            columns |= {f"{key}_{i}": part for i, part in enumerate(value, 1)}
        else:
            columns[key] = value
    return columns
