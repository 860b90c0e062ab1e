"""DATA as a table: a CSV file that lists images and their values."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from exeunt.data.decode import IMAGE_SUFFIXES
from exeunt.data.place import ImageFile
from exeunt.data.source import Sample, Source
from exeunt.errors import ExeuntError


def open_table(path: Path) -> Source:
    samples: dict[str, Sample] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            header = rows.fieldnames or ()
            if not {"file", "value"} <= set(header):
                raise ExeuntError(
                    f"{path}: the first line must name the columns file and value, "
                    f"but it is {','.join(header)!r}"
                )
            for row in rows:
                sample = _table_sample(path, rows.line_num, row["file"], row["value"])
                if sample.name in samples:
                    raise ExeuntError(
                        f"{path}, line {rows.line_num}: {sample.name!r} is listed twice"
                    )
                samples[sample.name] = sample
    except (UnicodeDecodeError, csv.Error) as error:
        raise ExeuntError(f"{path}: not a CSV file in UTF-8 ({error})") from error
    if not samples:
        raise ExeuntError(f"{path}: no images are listed below the header")
    pool = tuple(samples[name] for name in sorted(samples))
    return Source(path.parent, "regression", (), {"all": pool})


def _table_sample(table: Path, line: int, file: str | None, value: str | None) -> Sample:
    where = f"{table}, line {line}"
    if not file:
        raise ExeuntError(f"{where}: no file is named")
    try:
        target = float(value or "")
    except ValueError:
        target = math.nan
    if not math.isfinite(target):
        raise ExeuntError(f"{where}: the value of {file!r} must be a finite number, not {value!r}")
    path = table.parent / file
    if not file.lower().endswith(IMAGE_SUFFIXES):
        raise ExeuntError(f"{where}: {file!r} is no image ({', '.join(IMAGE_SUFFIXES)})")
    if not path.is_file():
        raise ExeuntError(f"{where}: there is no file {path}")
    return Sample(ImageFile(path), target, Path(file).as_posix())
