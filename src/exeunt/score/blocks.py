"""Some images of a job, few enough to be done soon: what one worker is given at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from exeunt.data.store import PlainFile, read
from exeunt.errors import ExeuntError

Named = tuple[str, Any]
"""What an image is called, and the image as `open_image` takes it, or bytes of a file, or None."""


class Block(Protocol):
    """Images that are scored together. It holds no pixels, and can be sent to other processes."""

    def __len__(self) -> int: ...

    def images(self) -> Iterator[Named]:
        """The images one by one, none of them decoded.

        Raises:
            ExeuntError: when the file that holds them is gone or damaged.
            OSError: when it cannot be read.
        """


@dataclass(frozen=True, slots=True)
class Files:
    """Files of images.

    Attributes:
        root: the folder that names are relative to.
        names: of the images, with forward slashes.
    """

    root: Path
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def images(self) -> Iterator[Named]:
        for name in self.names:
            yield name, self.root / name


@dataclass(frozen=True, slots=True)
class Members:
    """Members of an uncompressed tar archive.

    Attributes:
        path: of the archive.
        names: of the images, the archive's among them.
        extents: where each begins and how long it is, in bytes; None where its bytes are not there.
    """

    path: Path
    names: tuple[str, ...]
    extents: tuple[tuple[int, int] | None, ...]

    def __len__(self) -> int:
        return len(self.names)

    def images(self) -> Iterator[Named]:
        store = PlainFile(self.path)
        for name, extent in zip(self.names, self.extents, strict=True):
            yield name, None if extent is None else read(store, *extent)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a row group of a parquet file.

    Attributes:
        path: of the file.
        prefix: its name in those of the images.
        column: that has the images.
        names: column that has their names, which are strings or numbers; None counts rows.
        root: that names of files in the column are relative to.
        group: number of the row group.
        first: row of the group, from 0.
        number: of that row in the file.
        count: of the rows.
    """

    path: Path
    prefix: str
    column: str
    names: str | None
    root: Path
    group: int
    first: int
    number: int
    count: int

    def __len__(self) -> int:
        return self.count

    def images(self) -> Iterator[Named]:
        for row, (name, value) in enumerate(self._values(), self.number):
            called = f"{self.prefix}/{row}" if name is None else str(name)
            yield called, self._image(value)

    def _values(self) -> Iterator[tuple[Any, Any]]:
        """Names and values; the rows before them are read too, but not kept."""
        import pyarrow
        from pyarrow import parquet

        wanted = [self.column, *([self.names] if self.names else [])]
        at, end = 0, self.first + self.count
        try:
            with parquet.ParquetFile(self.path) as file:
                parts = file.iter_batches(256, row_groups=[self.group], columns=wanted)
                for part in parts:
                    first, last = max(self.first - at, 0), min(end - at, len(part))
                    at += len(part)
                    if first < last:
                        some = part.slice(first, last - first)
                        named = some.column(self.names) if self.names else [None] * len(some)
                        for name, value in zip(named, some.column(self.column), strict=True):
                            yield name and name.as_py(), value.as_py()
                    if at >= end:
                        return
        except (OSError, pyarrow.ArrowException) as error:
            raise ExeuntError(f"{self.path}: not a whole parquet file ({error})") from error

    def _image(self, value: Any) -> Any:
        if isinstance(value, dict):  # as `datasets` has images that are not decoded
            value = value.get("path") if value.get("bytes") is None else value["bytes"]
        return self.root / value if isinstance(value, str) else value
