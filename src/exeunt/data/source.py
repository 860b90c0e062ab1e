"""What the user's DATA is: class folders, train and test folders, or a CSV table of values."""

from __future__ import annotations

import csv
import hashlib
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from exeunt.errors import ExeuntError

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")

Task = Literal["classification", "regression"]


@dataclass(frozen=True)
class Sample:
    """One labelled image.

    Attributes:
        path: The image file.
        target: Index into `Source.class_names`, or the value to be predicted (a float).
        name: The path relative to the source's root, with forward slashes; unique in a source.
    """

    path: Path
    target: int | float
    name: str


@dataclass(frozen=True)
class Source:
    """Labelled images as found on disk, before any split.

    Attributes:
        root: The folder that sample names are relative to.
        task: What the targets are.
        class_names: Sorted names of the classes; empty for regression.
        pools: Either `{"all": ...}` or `{"train": ..., "test": ...}`; samples are sorted by name.
    """

    root: Path
    task: Task
    class_names: tuple[str, ...]
    pools: Mapping[str, tuple[Sample, ...]]


def open_source(path: str | Path) -> Source:
    """List the labelled images at `path`; no image is read.

    Three layouts are understood:

    * a folder of class folders (images in folders below a class folder count as its own);
    * a folder with `train/` and `test/` or `val/`, each a folder of the same class folders. With
      both present `test/` is the test pool and `val/` is not used;
    * a CSV file with the columns `file` and `value`, for regression. Files are relative to the
      folder of the CSV file; further columns are ignored.

    Images are jpg, jpeg, png, webp and bmp files, in any case. Names that begin with a dot are
    ignored.

    Raises:
        ExeuntError: If `path` is none of the three, or is one with a fault.
    """
    path = Path(path)
    if path.is_dir():
        return _open_folder(path)
    if not path.exists():
        raise ExeuntError(f"{path}: there is no such file or folder")
    if path.suffix.lower() == ".csv":
        return _open_table(path)
    raise ExeuntError(f"{path}: neither a folder of class folders nor a .csv file (file,value)")


def fingerprint(samples: Iterable[Sample]) -> str:
    """Hash the names, sizes in bytes and targets of `samples`, whatever their order.

    Returns:
        16 hex characters. No image is read, so an edit that keeps a file's size goes unnoticed.

    Raises:
        ExeuntError: If a file is gone.
    """
    digest = hashlib.blake2b(digest_size=8)
    for sample in sorted(samples, key=lambda sample: sample.name):
        try:
            size_bytes = sample.path.stat().st_size
        except OSError as error:
            raise ExeuntError(f"{sample.path}: cannot be read ({error.strerror})") from error
        text = f"{sample.name}\0{size_bytes}\0{sample.target!r}\n"
        digest.update(text.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def content_hash(path: str | Path) -> str:
    """Hash the bytes of the file at `path` (BLAKE2b, 16 hex characters)."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=8)).hexdigest()


def _open_folder(root: Path) -> Source:
    train = root / "train"
    test = next((root / name for name in ("test", "val") if (root / name).is_dir()), None)
    if test is None or not train.is_dir():
        class_names = _class_names(root)
        pools = {"all": _folder_samples(root, root, class_names)}
        return Source(root, "classification", class_names, pools)
    class_names, test_names = _class_names(train), _class_names(test)
    if class_names != test_names:
        raise ExeuntError(
            f"{root}: train/ and {test.name}/ must hold the same class folders, but "
            f"{sorted(set(class_names) - set(test_names))} are in train/ only and "
            f"{sorted(set(test_names) - set(class_names))} in {test.name}/ only"
        )
    pools = {
        "train": _folder_samples(root, train, class_names),
        "test": _folder_samples(root, test, class_names),
    }
    return Source(root, "classification", class_names, pools)


def _class_names(folder: Path) -> tuple[str, ...]:
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    if not entries:
        raise ExeuntError(f"{folder}: the folder is empty")
    names = sorted(entry.name for entry in entries if entry.is_dir())
    if not names:
        raise ExeuntError(
            f"{folder}: no class folders; expected one folder of images per class, "
            f"such as {folder / 'cat' / '1.jpg'}"
        )
    if len(names) == 1:
        raise ExeuntError(
            f"{folder}: only one class folder, {names[0]!r}; at least two classes are needed"
        )
    return tuple(names)


def _folder_samples(root: Path, folder: Path, class_names: tuple[str, ...]) -> tuple[Sample, ...]:
    files = [images_below(folder / name) for name in class_names]
    suffixes = ", ".join(IMAGE_SUFFIXES)
    if not any(files):
        raise ExeuntError(f"{folder}: no images in its class folders ({suffixes})")
    for name, found in zip(class_names, files, strict=True):
        if not found:
            raise ExeuntError(f"{folder / name}: no images in this class folder ({suffixes})")
    samples = (
        Sample(file, target, file.relative_to(root).as_posix())
        for target, found in enumerate(files)
        for file in found
    )
    return tuple(sorted(samples, key=lambda sample: sample.name))


def images_below(folder: Path) -> list[Path]:
    """Image files in a folder and the folders below it, in no order; hidden ones are left out."""
    images = []
    for parent, subfolders, files in os.walk(folder):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES):
                images.append(Path(parent, name))
    return images


def _open_table(path: Path) -> Source:
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
    return Sample(path, target, Path(file).as_posix())
