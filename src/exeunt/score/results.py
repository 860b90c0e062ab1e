"""What a job has found: a folder of parquet shards that grows, one shard for each block."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from exeunt.documents import parse_json, read_text
from exeunt.errors import ExeuntError
from exeunt.files import remove_leftovers, replacing, writing
from exeunt.score.inputs import require_pyarrow
from exeunt.score.scorer import Columns
from exeunt.text import millions, percent

JOB = "job.json"
SUMMARY = "summary.json"
FORMAT = 1

_SHARD = re.compile(r"part-(\d{6,})\.parquet")


@dataclass(frozen=True)
class Scored:
    """How a job ended.

    Attributes:
        images: of the job.
        failures: images that could not be read, or have logits that are not finite.
        exit_shares: of the other images, which share left at each of the E exits.
        mean_macs: multiply-adds of an image, on average over those.
        full_macs: up to the last exit.
        images_now: scored by this call; the others were there.
        seconds: that this call took, from the first block to the last.
        out: the folder.
    """

    images: int
    failures: int
    exit_shares: tuple[float, ...]
    mean_macs: float
    full_macs: int
    images_now: int
    seconds: float
    out: str

    @property
    def images_per_second(self) -> float:
        """Of this call; 0 where nothing was left to do."""
        return self.images_now / self.seconds if self.images_now else 0.0

    @property
    def saving(self) -> float:
        """Share of the multiply-adds that were not needed, 0 to 1."""
        return 1 - self.mean_macs / self.full_macs

    def to_dict(self) -> dict[str, Any]:
        """All of it under stable keys."""
        more = {"images_per_second": self.images_per_second, "saving": self.saving}
        return {**asdict(self), "exit_shares": list(self.exit_shares), **more}

    def facts(self) -> list[tuple[str, str]]:
        """All of it in named lines for people."""
        shares = enumerate(map(percent, self.exit_shares), 1)
        macs = f"{millions(self.mean_macs)} of {millions(self.full_macs)} on average"
        return [
            ("images", f"{self.images}, {self.failures} of them not readable"),
            ("left at", ", ".join(f"exit {k} {share}" for k, share in shares)),
            ("multiply-adds", f"{macs}, {percent(self.saving)} saved"),
            ("speed", f"{self.images_per_second:.1f} images/s, {self.images_now} in this run"),
            ("results", self.out),
        ]


class Results:
    """The folder of one job, which a killed one has left or which is new.

    Args:
        folder: where; made with those above it if need be.
        about: what must be the same for a job to go on, as JSON takes it.
        resume: go on with what was begun.

    Raises:
        ExeuntError: a job was begun and `resume` is off, it is another one, or the folder holds
            something else; or pyarrow is not installed.
        WriteError: nothing can be written there.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any], resume: bool) -> None:
        require_pyarrow(str(folder))
        self.folder = folder
        about = {"format": FORMAT, **about}
        job = folder / JOB
        if job.exists():
            before = parse_json(read_text(job), job)
            if not resume:
                raise ExeuntError(
                    f"{folder} holds results that were begun; --resume goes on with them, another "
                    "--out starts afresh"
                )
            _refuse_another(folder, before, json.loads(json.dumps(about)))
        elif folder.exists() and (not folder.is_dir() or any(map(_is_other, folder.iterdir()))):
            raise ExeuntError(f"{folder} is there already, and holds no results; choose another")
        else:
            with replacing(job) as temporary:
                temporary.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")

    def done(self) -> set[int]:
        """Numbers of the blocks whose shards are there, whole."""
        named = map(_SHARD.fullmatch, (path.name for path in self.folder.iterdir()))
        return {int(match[1]) for match in named if match}

    def summary(self, num_exits: int, full_macs: int, images_now: int, seconds: float) -> Scored:
        """Reads all shards, counts, and leaves the figures in the folder.

        Raises:
            ExeuntError: a shard is damaged.
        """
        import pyarrow
        from pyarrow import parquet

        exits: Counter[int | None] = Counter()
        macs = 0
        for number in sorted(self.done()):
            path = _shard(self.folder, number)
            try:
                table = parquet.ParquetFile(path).read(columns=["exit", "macs"])
            except (OSError, pyarrow.ArrowException) as error:
                raise ExeuntError(
                    f"{path}: not a whole parquet file ({error}); remove it, and --resume scores "
                    "its images again"
                ) from error
            exits.update(table.column("exit").to_pylist())
            macs += table.column("macs").drop_null().to_numpy().sum().item()
        images, failures = sum(exits.values()), exits.pop(None, 0)
        seen = max(images - failures, 1)
        shares = tuple(exits[k + 1] / seen for k in range(num_exits))
        figures = (shares, macs / seen, full_macs, images_now, seconds, str(self.folder))
        found = Scored(images, failures, *figures)
        with replacing(self.folder / SUMMARY) as temporary:
            temporary.write_text(json.dumps(found.to_dict(), indent=1) + "\n", encoding="utf-8")
        return found

    def tidy(self) -> None:
        """Removes what workers that were killed had begun; nobody else may be writing."""
        remove_leftovers(self.folder, whoever=True)


def write_shard(folder: Path, number: int, names: list[str], columns: Columns) -> None:
    """Writes the shard of a block, whole or not at all. What is not known is null.

    Any process may, on any machine that has the folder: who writes the same block writes the same.

    Raises:
        WriteError: it cannot be written; a later job goes on from there.
    """
    import pyarrow as pa
    from pyarrow import parquet

    kinds = {
        **{"class": pa.int32(), "label": pa.string(), "probability": pa.float32()},
        **{"value": pa.float32(), "exit": pa.int16(), "macs": pa.int64(), "error": pa.string()},
    }
    arrays = {"name": pa.array(list(map(_text, names)), pa.string())}
    wrong = np.array([error != "" for error in columns["error"]], dtype=bool)
    for name, values in columns.items():
        mask = ~wrong if name == "error" else wrong
        arrays[name] = pa.array(values, kinds[name], mask=mask)
    path = _shard(folder, number)
    with writing(path), replacing(path) as temporary:
        parquet.write_table(pa.table(arrays), temporary)


def _shard(folder: Path, number: int) -> Path:
    return folder / f"part-{number:06}.parquet"


def _is_other(path: Path) -> bool:
    """Whether something in the folder is neither a lock nor a temporary file of exeunt's."""
    return not path.name.startswith(".")


def _text(name: str) -> str:
    """A name in UTF-8; bytes that are none show as escapes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _refuse_another(folder: Path, before: Any, now: Mapping[str, Any]) -> None:
    for key, value in now.items():
        found = before.get(key) if isinstance(before, dict) else None
        if found != value:
            raise ExeuntError(
                f"{folder} holds results with {key}={found!r}, not {value!r}; resume with the same "
                "model, policy, images and settings, or choose another --out"
            )
