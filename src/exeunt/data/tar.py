"""Where the members of an uncompressed tar archive lie, found without extracting anything."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from exeunt.errors import ExeuntError

BLOCK_BYTES = 512


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive; `offset` is None if its bytes do not lie there in one piece."""

    name: str
    offset: int | None
    size_bytes: int


def tar_members(file: BinaryIO, path: Path) -> Iterator[Member]:
    """The members of an archive but for its folders, in their order; reads headers only.

    Args:
        file: The archive, open for reading. Its position may be moved between members.
        path: Its name, for messages.

    Raises:
        ExeuntError: If the archive is compressed, damaged, cut off, or followed by anything.
    """
    last = "its beginning"
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # else all are kept
                last = member.name
                if not member.isdir():
                    whole = member.isreg() and not member.issparse()
                    name = member.name.removeprefix("./")
                    yield Member(name, member.offset_data if whole else None, member.size)
            end = tar.offset
    except (tarfile.TarError, ValueError, OverflowError, LookupError) as error:
        raise ExeuntError(
            f"{path}: not a whole, uncompressed tar archive ({error}, after {last})"
        ) from error
    file.seek(end)
    rest = file.read(BLOCK_BYTES)
    if len(rest) < BLOCK_BYTES or rest.strip(b"\0"):
        raise ExeuntError(
            f"{path}: damaged or cut off after {last}: the archive does not end there"
        )
    while rest := file.read(1 << 20):
        if rest.strip(b"\0"):
            raise ExeuntError(
                f"{path}: goes on after the end of the archive, after {last}; archives that were "
                "joined have to be taken apart"
            )
