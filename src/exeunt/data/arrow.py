"""DATA as Hugging Face `datasets` has it on disk: folders of `save_to_disk`, and parquet files."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from exeunt.data.labelled import positions
from exeunt.data.left_out import LeftOut
from exeunt.data.numbering import number_labels
from exeunt.data.pairs import IMAGE_KEYS, LABEL_KEYS, checked_label, key_among
from exeunt.data.place import FilePart
from exeunt.data.pools import pool_folders, pools_among, pools_of_files
from exeunt.data.source import Sample, Source
from exeunt.data.store import MAX_UNPACKED_BYTES, PlainFile
from exeunt.documents import parse_json, read_text
from exeunt.errors import ExeuntError

_SPLITS_FILE = "dataset_dict.json"
_STATE_FILE = "state.json"
_INFO_FILE = "dataset_info.json"


@dataclass(frozen=True, slots=True)
class ParquetImages:
    """The images of a parquet file, one after another, as files of images."""

    path: Path
    column: str

    def __str__(self) -> str:
        return f"{self.path}, column {self.column}"

    def open(self) -> BinaryIO:
        stamp = self.path.stat().st_mtime_ns
        return io.BytesIO(_parquet_images(self.path, self.column, stamp))


@dataclass(frozen=True)
class _Rows:
    """What one file holds: where its images are, their labels, and the names of the classes."""

    places: list[FilePart]
    labels: list[Any]
    class_names: tuple[str, ...]


def is_saved(folder: Path) -> bool:
    """Whether a folder is one that `save_to_disk` wrote."""
    one = (folder / _STATE_FILE).is_file() and (folder / _INFO_FILE).is_file()
    return one or (folder / _SPLITS_FILE).is_file()


def open_saved(root: Path) -> Source:
    """List the images of a folder of `Dataset.save_to_disk` or `DatasetDict.save_to_disk`.

    They are read where they lie. Of the splits train and test count, or validation without test.

    Raises:
        ExeuntError: If a file is missing or damaged, or has no column of images or of labels.
    """
    left_out = LeftOut()
    pools = {"all": ""}
    if (root / _SPLITS_FILE).is_file():
        splits = _field(root / _SPLITS_FILE, "splits")
        pools = pools_among([str(split) for split in splits], f"{root}: its splits", left_out)
    files = {}
    for pool, split in pools.items():
        state = root / split / _STATE_FILE
        files[pool] = [
            state.with_name(_file_name(state, one)) for one in _field(state, "_data_files")
        ]
    rows = {pool: [_read("Arrow", path) for path in found] for pool, found in files.items()}
    return _source(root, rows, left_out)


def find_parquet(folder: Path) -> dict[str, list[Path]] | None:
    """The parquet files of a folder by pool, or None if it is not one of these.

    They lie in the folder itself, or in `data/` (`train-00000-of-00001.parquet`), as in the
    repositories of Hugging Face, or in folders named by a split.

    Raises:
        ExeuntError: If a file is of no split where others are.
    """
    if files := _parquets(folder) or _parquets(folder / "data"):
        return pools_of_files(files)
    by_pool = pool_folders(path.name for path in folder.iterdir() if path.is_dir())
    found = {name: _parquets(folder / name) for names in by_pool.values() for name in names}
    by_pool = pool_folders(name for name, files in found.items() if files)
    test = by_pool.get("test") or by_pool.get("val")
    if "train" in by_pool and test:
        pools = {"train": by_pool["train"], "test": test}
        return {
            pool: [file for name in names for file in found[name]] for pool, names in pools.items()
        }
    return None


def open_parquet(root: Path, pools: Mapping[str, Sequence[Path]]) -> Source:
    """List the images of parquet files; all of them are kept in memory.

    Raises:
        ExeuntError: If a file is damaged, has no column of images or of labels, or they are more
            than 1 GiB.
    """
    total = sum(file.stat().st_size for files in pools.values() for file in files)
    if total > MAX_UNPACKED_BYTES:
        raise ExeuntError(
            f"{root}: {total / 2**30:.1f} GiB of parquet files; at most {MAX_UNPACKED_BYTES >> 30} "
            "GiB are kept in memory. Give a folder of datasets.load_dataset(...).save_to_disk, "
            "which is read in place"
        )
    left_out = LeftOut()
    chosen = {file for files in pools.values() for file in files}
    for folder in sorted({file.parent for file in chosen}) if root.is_dir() else ():
        for file in _parquets(folder):
            if file not in chosen:
                left_out.add(".parquet", file.relative_to(root).as_posix())
    rows = {pool: [_read("parquet", path) for path in files] for pool, files in pools.items()}
    return _source(root, rows, left_out)


def _source(root: Path, pools: Mapping[str, Sequence[_Rows]], left_out: LeftOut) -> Source:
    class_names = {rows.class_names for files in pools.values() for rows in files}
    if len(class_names) > 1:
        raise ExeuntError(f"{root}: its files have different names of classes")
    labels = {pool: [one for rows in files for one in rows.labels] for pool, files in pools.items()}
    for pool, found in labels.items():
        if not found:
            raise ExeuntError(f"{root}: no images{'' if pool == 'all' else f' to {pool}'}")
    names, targets = number_labels(str(root), labels, *class_names)
    samples = {
        pool: tuple(
            Sample(place, target, name)
            for place, target, name in zip(
                (place for rows in files for place in rows.places),
                targets[pool],
                positions(pool, len(targets[pool])),
                strict=True,
            )
        )
        for pool, files in pools.items()
    }
    return Source(root, "classification" if names else "regression", names, samples, left_out)


def _read(kind: Literal["Arrow", "parquet"], path: Path) -> _Rows:
    with _naming(path, kind):
        return _read_arrow(path) if kind == "Arrow" else _read_parquet(path)


def _read_arrow(path: Path) -> _Rows:
    """The rows of an Arrow file, whose images are parts of it."""
    pa = _pyarrow(path)
    with pa.memory_map(str(path)) as mapped:
        whole = mapped.read_buffer()
        is_file = whole.slice(0, 6).to_pybytes() == b"ARROW1"
        opened = pa.ipc.open_file if is_file else pa.ipc.open_stream
        table = opened(pa.BufferReader(whole)).read_all()
        table.validate(full=True)
    places = []
    for _, chunk in _images(path, table):
        data = chunk.buffers()[2]
        for start, size in _extents(chunk):
            at = data.address - whole.address + start if data is not None else 0
            if not 0 <= at <= whole.size - size:
                raise ExeuntError(f"{path}: its images are compressed; save the dataset without")
            places.append(FilePart(PlainFile(path), at, size))
    return _rows(path, table, places)


def _read_parquet(path: Path) -> _Rows:
    """The rows of a parquet file, whose images are kept in memory."""
    table = _parquet(path, (IMAGE_KEYS, LABEL_KEYS))
    places, at = [], 0
    for column, chunk in _images(path, table):
        for _, size in _extents(chunk):
            places.append(FilePart(ParquetImages(path, column), at, size))
            at += size
    return _rows(path, table, places)


def _parquet(path: Path, wanted: Sequence[Sequence[str]]) -> Any:
    """Of each of the wanted kinds a column."""
    _pyarrow(path)
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        columns = [key_among(file.schema_arrow.names, keys, str(path)) for keys in wanted]
        table = file.read(columns)
        table.validate(full=True)
    return table


@lru_cache(maxsize=128)
def _parquet_images(path: Path, column: str, _stamp: int) -> bytes:
    parts = []
    with _naming(path, "parquet"):
        for _, chunk in _images(path, _parquet(path, [[column]])):
            data, extents = chunk.buffers()[2], _extents(chunk)
            if data is not None:
                parts.append(memoryview(data)[extents[0][0] : sum(extents[-1])])
    return b"".join(parts)


@contextmanager
def _naming(path: Path, kind: str) -> Iterator[None]:
    """Names a file that pyarrow cannot read."""
    pa = _pyarrow(path)
    try:
        yield
    except ExeuntError:
        raise
    except FileNotFoundError as error:
        raise ExeuntError(f"{path}: there is no such file") from error
    except (OSError, pa.ArrowException, ValueError) as error:
        raise ExeuntError(f"{path}: not a whole {kind} file ({error})") from error


def _images(path: Path, table: Any) -> Iterator[tuple[str, Any]]:
    """The name of the column of images, and its chunks that hold any, as arrays of bytes."""
    pa = _pyarrow(path)
    column = key_among(table.column_names, IMAGE_KEYS, str(path))
    row = 0
    for chunk in table.column(column).chunks:
        if pa.types.is_struct(chunk.type) and chunk.type.get_field_index("bytes") >= 0:
            chunk = chunk.field("bytes")
        if not (pa.types.is_binary(chunk.type) or pa.types.is_large_binary(chunk.type)):
            raise ExeuntError(
                f"{path}: the column {column} is of {chunk.type}; it must hold files of images, "
                'as bytes or {"bytes": ..., "path": ...}'
            )
        if chunk.null_count:
            missing = row + chunk.is_null().to_pylist().index(True)
            raise ExeuntError(
                f"{path}, row {missing}: no bytes of an image; embed the files, as "
                "save_to_disk does"
            )
        row += len(chunk)
        if len(chunk):
            yield column, chunk


def _extents(chunk: Any) -> list[tuple[int, int]]:
    """Where each value of an array of bytes begins among these, and how long it is."""
    wide = str(chunk.type).startswith("large")
    offsets = np.frombuffer(
        chunk.buffers()[1], np.int64 if wide else np.int32, chunk.offset + len(chunk) + 1
    )[chunk.offset :]
    return [*zip(offsets[:-1].tolist(), np.diff(offsets).tolist(), strict=True)]


def _rows(path: Path, table: Any, places: list[FilePart]) -> _Rows:
    column = key_among(table.column_names, LABEL_KEYS, str(path))
    labels = [
        checked_label(label, f"{path}, row {row}")
        for row, label in enumerate(table.column(column).to_pylist())
    ]
    return _Rows(places, labels, _class_names(path, table.schema.metadata or {}, column))


def _class_names(path: Path, metadata: Mapping[bytes, bytes], column: str) -> tuple[str, ...]:
    """Those that `datasets` writes into the schema; empty where there are none."""
    if b"huggingface" not in metadata:
        return ()
    try:
        found = parse_json(metadata[b"huggingface"].decode(), path)
        names = found["info"]["features"][column].get("names", [])
        return tuple(names) if all(isinstance(name, str) for name in names) else ()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ExeuntError(f"{path}: its schema describes no column {column} ({error})") from error


def _file_name(path: Path, entry: Any) -> str:
    """The name of a file beside `path` that an entry of it gives."""
    name = entry.get("filename") if isinstance(entry, dict) else None
    if not isinstance(name, str) or Path(name).name != name:
        raise ExeuntError(f"{path}: {entry!r} names no file beside it")
    return name


def _field(path: Path, key: str) -> list[Any]:
    found = parse_json(read_text(path), path)
    if not isinstance(found, dict) or not isinstance(found.get(key), list):
        raise ExeuntError(f"{path}: has no list {key!r}; it is not what save_to_disk writes")
    return list(found[key])


def _parquets(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() == ".parquet" and path.name[0] != "." and path.is_file()
    )


def _pyarrow(path: Path) -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise ExeuntError(
            f"{path}: Arrow and parquet files are read by pyarrow, which is not installed: "
            "pip install 'exeunt[parquet]'"
        ) from error
    return pyarrow
