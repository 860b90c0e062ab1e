"""A recording on its way to a file: what a killed process leaves behind, and goes on with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from exeunt.errors import ExeuntError
from exeunt.files import replacing, writing
from exeunt.runner.document import parse_json

SUFFIX = ".partial"

_MOST_LINE_BYTES = 1 << 26


class PartialTable:
    """Rows that are appended batch by batch, in a file beside the one they are for.

    A line of JSON says what is recorded; then come the rows as they are made, each the index of a
    sample and its logits (E K). Nothing is written twice, so a process that is killed loses no more
    than its last batch, and a full disk is an ordinary error. Unreadable samples have no row. To be
    used in a `with` block.

    Args:
        path: Of the finished file; this one has the same name with `.partial` behind it.
        about: What must be the same for a recording to go on, as JSON takes it.
        shape: (E, K) of a row.
        dtype: Of the logits, float32 or float16.
        batch_size: Samples of a batch: the last batch is taken back, since it may not be whole.
        resume: Go on with what was begun.

    Attributes:
        done: Samples dealt with, whole batches of them; the next one has this index.

    Raises:
        ExeuntError: A recording was begun and `resume` is off, or it is another one.
    """

    def __init__(
        self,
        path: Path,
        about: Mapping[str, Any],
        *,
        shape: tuple[int, int],
        dtype: torch.dtype,
        batch_size: int,
        resume: bool,
    ) -> None:
        self.path, self._whole = path.with_name(path.name + SUFFIX), path
        numbers = np.dtype(str(dtype).removeprefix("torch."))
        self._row = np.dtype([("sample", np.int64), ("logits", numbers, shape)])
        self.done = 0
        if not self.path.exists():
            self._begin(about)
        elif not resume:
            raise ExeuntError(
                f"{self.path} holds a recording that was begun; --resume goes on with it, "
                "another --out starts afresh"
            )
        self._start = self._check(about)
        whole = (self.path.stat().st_size - self._start) // self._row.itemsize
        rows = self._mapped(whole)
        if whole:
            self.done = int(rows["sample"][-1]) // batch_size * batch_size
        kept = int(np.searchsorted(rows["sample"], self.done))
        del rows  # a file that is mapped cannot be cut everywhere
        self._file = self.path.open("r+b")
        self._file.truncate(self._start + kept * self._row.itemsize)
        self._file.seek(0, 2)

    def __enter__(self) -> PartialTable:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            with writing(self._whole):  # on a full disk this fails again
                self._file.close()
        finally:
            if error is not None and self.path.stat().st_size == self._start:
                self.path.unlink()  # nothing to go on with

    def append(self, indices: Tensor, logits: Tensor) -> None:
        """Adds the readable samples of one batch: their indices (N,), and logits (E N K).

        Raises:
            WriteError: The disk is full.
        """
        rows = np.empty(len(indices), self._row)
        rows["sample"] = indices.numpy()
        rows["logits"] = logits.permute(1, 0, 2).numpy()
        with writing(self._whole):
            self._file.write(rows.data)
            self._file.flush()

    def rows(self) -> tuple[Tensor, Tensor]:
        """Indices (N,) and logits (E N K) so far; the logits are a view of the file."""
        rows = self._mapped((self.path.stat().st_size - self._start) // self._row.itemsize)
        indices = torch.from_numpy(np.ascontiguousarray(rows["sample"]))
        return indices, torch.from_numpy(rows["logits"]).permute(1, 0, 2)

    def _begin(self, about: Mapping[str, Any]) -> None:
        line = json.dumps(about).encode()
        with replacing(self.path) as temporary:
            temporary.write_bytes(line + b" " * (-(len(line) + 1) % 8) + b"\n")

    def _check(self, about: Mapping[str, Any]) -> int:
        """Where the rows begin, if those of the file are of this recording."""
        with self.path.open("rb") as file:
            line = file.readline(_MOST_LINE_BYTES) if self.path.is_file() else b""
        try:
            before = parse_json(line)
            if not isinstance(before, dict):
                raise ValueError("its first line is no JSON object")
        except ValueError as error:
            raise ExeuntError(f"{self.path}: not a recording that was begun ({error})") from error
        refuse_another(self.path, before, json.loads(json.dumps(about)))
        return len(line)

    def _mapped(self, count: int) -> Any:
        """The first `count` rows (N,), as an array over the file."""
        if count == 0:  # nothing cannot be mapped
            return np.empty(0, self._row)
        # "c" means that a write would go to memory alone; torch wants arrays that allow them
        return np.memmap(self.path, self._row, mode="c", offset=self._start, shape=(count,))


def refuse_another(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Makes sure that a recording goes on as it began.

    Raises:
        ExeuntError: Naming the first thing that differs.
    """
    for key, value in now.items():
        if before.get(key) != value:
            raise ExeuntError(
                f"{path} is a recording with {key}={before.get(key)!r}, not {value!r}; resume with "
                "the same weights, data and settings, or choose another --out"
            )
