"""DATA as a table: a CSV file that lists images with their classes or values."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from exeunt.data.decode import IMAGE_SUFFIXES
from exeunt.data.place import ImageFile
from exeunt.data.source import Sample, Source, by_name
from exeunt.documents import read_text
from exeunt.errors import ExeuntError

POOLS = ("train", "test")

_MOST_BYTES = 1 << 31  # of a table


@dataclass(frozen=True)
class _Row:
    """A line of the table: its number, its file as written, what it says of it, and its pool."""

    line: int
    file: str
    target: str | float
    pool: str


def open_table(path: Path) -> Source:
    """List the images of a CSV file with the columns `file` and either `label` or `value`.

    Files are relative to the folder of the CSV file, or absolute. With a column `split`, each line
    says `train` or `test`. Further columns are ignored. Images are called by what the column
    `file` says; but if any of them lies outside the CSV file's folder, by their paths below the
    folder that all of them have in common, so that names do not depend on where the CSV file is.

    Raises:
        ExeuntError: If the file is no such table, or a line has a fault.
    """
    try:
        rows = _rows(path)
    except csv.Error as error:
        raise ExeuntError(f"{path}: not a CSV file ({error})") from error
    if not rows:
        raise ExeuntError(f"{path}: no images are listed below the header")
    root, names = _names(path.parent, [row.file for row in rows])
    class_names = tuple(sorted({row.target for row in rows if isinstance(row.target, str)}))
    targets = {name: target for target, name in enumerate(class_names)}
    pools: dict[str, list[Sample]] = {row.pool: [] for row in rows}
    if missing := {*POOLS} - {*pools} if "all" not in pools else set():
        raise ExeuntError(
            f"{path}: no image has split {missing.pop()!r}; leave the column out to have a test "
            "split held out"
        )
    seen: set[str] = set()
    for row, name in zip(rows, names, strict=True):
        if name in seen:
            raise ExeuntError(f"{path}, line {row.line}: {name!r} is listed twice")
        seen.add(name)
        target = targets[row.target] if isinstance(row.target, str) else row.target
        pools[row.pool].append(Sample(ImageFile(path.parent / row.file), target, name))
    return Source(
        root,
        "classification" if class_names else "regression",
        class_names,
        {pool: by_name(pools[pool]) for pool in ("all", *POOLS) if pool in pools},
    )


def _rows(path: Path) -> list[_Row]:
    with io.StringIO(read_text(path, _MOST_BYTES), newline="") as file:
        lines = csv.DictReader(file)
        header = lines.fieldnames or ()
        columns = [column for column in ("label", "value") if column in header]
        if "file" not in header or not columns:
            raise ExeuntError(
                f"{path}: the first line must name the columns file and label (a class), or file "
                f"and value (a number), but it is {','.join(header)!r}"
            )
        if len(columns) > 1:
            raise ExeuntError(
                f"{path}: has both a column label (a class) and a column value (a number); "
                "rename the one that is not to be learnt"
            )
        parse = _label if columns == ["label"] else _value
        rows = []
        for line in lines:
            where = f"{path}, line {lines.line_num}"
            file_name = _image_file(where, path.parent, line["file"])
            target = parse(where, file_name, line[columns[0]])
            pool = _pool(where, file_name, line["split"]) if "split" in header else "all"
            rows.append(_Row(lines.line_num, file_name, target, pool))
    return rows


def _image_file(where: str, folder: Path, file: str | None) -> str:
    if not file:
        raise ExeuntError(f"{where}: no file is named")
    if not file.lower().endswith(IMAGE_SUFFIXES):
        raise ExeuntError(f"{where}: {file!r} is no image ({', '.join(IMAGE_SUFFIXES)})")
    if not (folder / file).is_file():
        raise ExeuntError(f"{where}: there is no file {folder / file}")
    return file


def _label(where: str, file: str, text: str | None) -> str:
    label = (text or "").strip()
    if not label:
        raise ExeuntError(f"{where}: {file!r} has no label")
    return label


def _value(where: str, file: str, text: str | None) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ExeuntError(f"{where}: the value of {file!r} must be a finite number, not {text!r}")
    return value


def _pool(where: str, file: str, text: str | None) -> str:
    if text not in POOLS:
        raise ExeuntError(f"{where}: the split of {file!r} must be train or test, not {text!r}")
    return text


def _names(folder: Path, files: Sequence[str]) -> tuple[Path, list[str]]:
    """What the images are called, and the folder that this is relative to."""
    if not any(map(_leads_out, files)):
        return folder, [Path(file).as_posix() for file in files]
    here = folder.absolute()
    paths = [Path(os.path.normpath(here / file)) for file in files]  # links are not followed
    root = Path(os.path.commonpath([path.parent for path in paths]))
    return root, [path.relative_to(root).as_posix() for path in paths]


def _leads_out(file: str) -> bool:
    path = Path(os.path.normpath(file))
    return path.is_absolute() or path.parts[0] == ".."
