"""Results: a row for each training that ended, in `experiments/results/STUDY.csv`."""

from __future__ import annotations

import csv
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from exeunt.files import replacing
from harness.study import Study

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "experiments" / "results"
KEYS = ("run", "seed", "scale", "recipe", "epochs")
ORIGIN = ("minutes", "commit", "torch", "machine")

Row = dict[str, str]


def read_rows(study: Study, folder: Path = FOLDER) -> list[Row]:
    """All rows of a study; none if there is no file."""
    return read_table(study.name, folder)


def read_table(name: str, folder: Path = FOLDER) -> list[Row]:
    """All rows of a file of results; none if there is no file."""
    file = folder / f"{name}.csv"
    if not file.exists():
        return []
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def write_table(
    name: str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]], folder: Path = FOLDER
) -> None:
    """Writes a file of results."""
    folder.mkdir(exist_ok=True)
    with (
        replacing(folder / f"{name}.csv") as beside,
        beside.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def add_row(study: Study, row: Mapping[str, Any], folder: Path = FOLDER) -> None:
    """Puts a row where the study's order has it, in place of one of the same run and seed."""
    fields = (*KEYS, *study.columns, *ORIGIN)
    order = [run.name for run in study.runs]

    def key(one: Mapping[str, Any]) -> tuple[str, int, int]:
        return str(one["scale"]), order.index(one["run"]), int(one["seed"])

    kept = [one for one in read_rows(study, folder) if key(one) != key(row)]
    write_table(study.name, fields, sorted([*kept, dict(row)], key=key), folder)


def origin(minutes: float) -> dict[str, Any]:
    """Where a row comes from."""
    asked = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "minutes": round(minutes, 1),
        "commit": commit or "unknown",
        "torch": torch.__version__,
        "machine": platform.machine() + ("+cuda" if torch.cuda.is_available() else ""),
    }
