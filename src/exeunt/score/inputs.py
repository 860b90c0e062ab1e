"""What images a job is for: DATA without labels, cut into blocks."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exeunt.data.decode import IMAGE_SUFFIXES
from exeunt.data.left_out import LeftOut, kind_of_file
from exeunt.data.listing import is_image, list_below
from exeunt.data.tar import tar_members
from exeunt.documents import read_text
from exeunt.errors import ExeuntError
from exeunt.score.blocks import Block, Files, Members, Rows

BYTES_COLUMNS = ("image", "img", "bytes", "jpg", "png")
PATH_COLUMNS = ("path", "file", "file_name")
NAME_COLUMNS = ("name", "id", "key", "__key__")

_MOST_TABLE_BYTES = 1 << 31


@dataclass
class Inputs:
    """The images of a job.

    Attributes:
        blocks: all of them, in order; a block's number is its position.
        digest: tells these images from others by their names, and shards by their sizes too.
        left_out: what lies among them but is no image.
    """

    blocks: list[Block]
    digest: str
    left_out: LeftOut = field(default_factory=LeftOut)

    def __len__(self) -> int:
        return sum(map(len, self.blocks))


def open_inputs(data: Path, block_size: int) -> Inputs:
    """Lists images; none of them is read.

    * A folder: the images in it and in folders below. If it holds tar shards or parquet files and
      no images itself, these.
    * A `.tar` file: its members that are images by their names.
    * A `.parquet` file: a column of images as bytes (`image`, `img`, `bytes`, `jpg`, `png`; also as
      Hugging Face has them) or of names of files (`path`, `file`, `file_name`), which are relative
      to its folder. A column `name`, `id`, `key` or `__key__` names the images, or else that of the
      files; or they are called by the file and the row.
    * A `.csv` file with a column `path`, `file` or `file_name`, likewise.

    Args:
        data: where they are.
        block_size: most images of a block.

    Raises:
        ExeuntError: when there are none, or a file that should hold some is damaged.
    """
    if block_size < 1:
        raise ExeuntError(f"block_size must be at least 1, not {block_size}")
    if not data.exists():
        raise ExeuntError(f"{data}: there is no such file or folder")
    kinds: dict[str, Callable[[Path, str, int, LeftOut], Iterator[Block]]]
    kinds = {".tar": _of_tar, ".parquet": _of_parquet, ".csv": _of_csv}
    left_out, digest = LeftOut(), hashlib.blake2b(digest_size=16)
    if data.is_dir():
        shards = _shards(data, kinds)
        if not shards:
            return _of_folder(data, block_size)
    elif data.suffix.lower() in kinds:
        shards = [data]
    else:
        raise ExeuntError(
            f"{data}: neither a folder nor a table (.csv, .parquet) or a shard (.tar) of images"
        )
    blocks: list[Block] = []
    for shard in shards:
        size = shard.stat().st_size
        digest.update(f"{shard.name}\0{size}\n".encode("utf-8", "surrogateescape"))
        blocks += kinds[shard.suffix.lower()](shard, shard.name, block_size, left_out)
    if not blocks:
        others = f"; there are {left_out}" if left_out else ""
        raise ExeuntError(f"{data}: no images{others}")
    return Inputs(blocks, digest.hexdigest(), left_out)


def _shards(folder: Path, kinds: Iterable[str]) -> list[Path]:
    """Tar shards or parquet files of a folder, or of its `data/`, if it holds no images."""
    for place in (folder, folder / "data"):
        files = sorted(path for path in place.iterdir() if path.is_file()) if place.is_dir() else []
        if any(is_image(path.name) for path in files):
            return []
        for kind in kinds:
            found = [path for path in files if path.suffix.lower() == kind != ".csv"]
            if found := [path for path in found if not path.name.startswith(".")]:
                return found
    return []


def _of_folder(folder: Path, block_size: int) -> Inputs:
    listing = list_below(folder)
    names = sorted(path.relative_to(folder).as_posix() for path in listing.images)
    if not names:
        others = f"; there are {listing.left_out}" if listing.left_out else ""
        raise ExeuntError(
            f"{folder}: no images in this folder ({', '.join(IMAGE_SUFFIXES)}){others}"
        )
    digest = hashlib.blake2b(digest_size=16)
    for name in names:
        digest.update(name.encode("utf-8", "surrogateescape") + b"\n")
    blocks: list[Block] = [Files(folder, tuple(part)) for part in _parts(names, block_size)]
    return Inputs(blocks, digest.hexdigest(), listing.left_out)


def _of_tar(path: Path, prefix: str, block_size: int, left_out: LeftOut) -> Iterator[Block]:
    found = []
    with path.open("rb") as file:
        for member in tar_members(file, path):
            name = f"{prefix}/{member.name}"
            if is_image(member.name.rpartition("/")[2]):
                extent = None if member.offset is None else (member.offset, member.size_bytes)
                found.append((name, extent))
            else:
                left_out.add(kind_of_file(member.name.rpartition("/")[2]), name)
    for part in _parts(found, block_size):
        names, extents = zip(*part, strict=True)
        yield Members(path, names, extents)


def _of_parquet(path: Path, prefix: str, block_size: int, left_out: LeftOut) -> Iterator[Block]:
    pyarrow = require_pyarrow(str(path))
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            columns = file.schema_arrow.names
            groups = [file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)]
    except (OSError, pyarrow.ArrowException) as error:
        raise ExeuntError(f"{path}: not a whole parquet file ({error})") from error
    column = _column(path, columns, (*BYTES_COLUMNS, *PATH_COLUMNS))
    files = tuple(name for name in PATH_COLUMNS if name in columns)
    named = next((name for name in (*NAME_COLUMNS, *files) if name in columns), None)
    start = 0
    for group, rows in enumerate(groups):
        for first in range(0, rows, block_size):
            count = min(block_size, rows - first)
            place = (group, first, start + first, count)
            yield Rows(path, prefix, column, named, path.parent, *place)
        start += rows


def _of_csv(path: Path, prefix: str, block_size: int, left_out: LeftOut) -> Iterator[Block]:
    try:
        with io.StringIO(read_text(path, _MOST_TABLE_BYTES), newline="") as file:
            lines = csv.DictReader(file)
            column = _column(path, lines.fieldnames or (), PATH_COLUMNS)
            names = []
            for line in lines:
                if not line[column]:
                    raise ExeuntError(f"{path}, line {lines.line_num}: no file is named")
                names.append(str(line[column]).replace("\\", "/"))
    except csv.Error as error:
        raise ExeuntError(f"{path}: not a CSV file ({error})") from error
    for part in _parts(names, block_size):
        yield Files(path.parent, tuple(part))


def _column(path: Path, columns: Sequence[str], known: Sequence[str]) -> str:
    for name in known:
        if name in columns:
            return name
    raise ExeuntError(
        f"{path}: its columns are {', '.join(map(repr, columns)) or 'none'}; images are looked for "
        f"in {', '.join(known)}"
    )


def _parts(values: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (values[start : start + size] for start in range(0, len(values), size))


def require_pyarrow(what: str) -> Any:
    """pyarrow, which reads and writes parquet.

    Raises:
        ExeuntError: when it is not installed; naming what it is needed for.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise ExeuntError(
            f"{what}: parquet files are read and written by pyarrow, which is not installed: "
            "pip install 'exeunt[parquet]'"
        ) from error
    return pyarrow
