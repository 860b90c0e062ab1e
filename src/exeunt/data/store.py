"""Bytes that can be read at any offset: of a file, or of what a compressed file unpacks to.

Stores are small and can be sent to another process. What had to be unpacked is kept in memory,
once per process (worker processes that are forked share it); a file that has changed since is
unpacked again.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Protocol

from exeunt.errors import ExeuntError

MAX_UNPACKED_BYTES = 1 << 30


class Store(Protocol):
    """Bytes that can be read at any offset; as text, its name in messages."""

    @property
    def path(self) -> Path:
        """The file on disk."""

    def __hash__(self) -> int: ...

    def open(self) -> BinaryIO:
        """A seekable file of the bytes, to be closed by the caller.

        Raises:
            OSError: If the file cannot be read.
            ExeuntError: If it cannot be unpacked.
        """


def read(store: Store, offset: int = 0, size: int | None = None) -> bytes:
    """`size` bytes of a store from `offset` on; all that follow if no size is given.

    Raises:
        ExeuntError: If there are fewer, or as `Store.open`.
        OSError: As `Store.open`.
    """
    with store.open() as file:
        file.seek(offset)
        found = file.read(-1 if size is None else size)
    if size is not None and len(found) < size:
        raise ExeuntError(f"{store}: ends before byte {offset + size}; it is cut off")
    return found


@dataclass(frozen=True, slots=True)
class PlainFile:
    """A file as it is."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def open(self) -> BinaryIO:
        return self.path.open("rb")


@dataclass(frozen=True, slots=True)
class Gunzipped:
    """What a gzip file unpacks to."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def open(self) -> BinaryIO:
        return io.BytesIO(_gunzipped(self.path, self.path.stat().st_mtime_ns))


@dataclass(frozen=True, slots=True)
class TarGzMember:
    """A member of a .tar.gz file, by its name without folders."""

    path: Path
    member: str

    def __str__(self) -> str:
        return f"{self.path}/{self.member}"

    def open(self) -> BinaryIO:
        return io.BytesIO(_members(self.path, self.path.stat().st_mtime_ns)[self.member])


def members_of_tar_gz(path: Path) -> dict[str, Store]:
    """The files of the archive at `path`, by their names without folders.

    Raises:
        ExeuntError: If it is no .tar.gz file, is damaged, or unpacks to more than 1 GiB.
    """
    return {
        name: TarGzMember(path, name) for name in sorted(_members(path, path.stat().st_mtime_ns))
    }


@lru_cache(maxsize=4)
def _gunzipped(path: Path, _stamp: int) -> bytes:
    try:
        with gzip.open(path) as file:
            content = file.read(MAX_UNPACKED_BYTES + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ExeuntError(f"{path}: not a whole gzip file ({error})") from error
    if len(content) > MAX_UNPACKED_BYTES:
        raise _too_large(path)
    return content


@lru_cache(maxsize=1)
def _members(path: Path, _stamp: int) -> Mapping[str, bytes]:
    found: dict[str, bytes] = {}
    total_bytes = 0
    try:
        with gzip.open(path) as unzipped, tarfile.open(fileobj=unzipped, mode="r|") as tar:
            for member in tar:
                file = tar.extractfile(member) if member.isreg() else None
                if file is not None:
                    total_bytes += member.size
                    if total_bytes > MAX_UNPACKED_BYTES:
                        raise _too_large(path)
                    found[Path(member.name).name] = file.read()
            while unzipped.read(1 << 20):  # to the end, where the checksum is
                pass
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ExeuntError(f"{path}: not a whole .tar.gz file ({error})") from error
    return found


def _too_large(path: Path) -> ExeuntError:
    return ExeuntError(
        f"{path}: unpacks to more than {MAX_UNPACKED_BYTES >> 30} GiB, which is not kept in "
        "memory; unpack it and give what comes out"
    )
