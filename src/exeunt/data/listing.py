"""What is in a folder: images, folders, and what is left out."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from exeunt.data.decode import IMAGE_SUFFIXES
from exeunt.data.left_out import LeftOut, kind_of_file

_JUNK_FOLDERS = ("__MACOSX",)


@dataclass
class Listing:
    """The entries of one folder, or of all folders below it too.

    Attributes:
        images: Image files.
        folders: Folders, links to such included, that are not hidden.
        left_out: Everything else.
    """

    images: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)


def is_image(name: str) -> bool:
    """Whether a file of this name is taken for an image; hidden ones are not."""
    return not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES)


def list_folder(folder: Path, root: Path | None = None, *, other_files: bool = False) -> Listing:
    """The entries of `folder`, sorted by name.

    Args:
        folder: To list.
        root: What is left out is named relative to it; `folder` by default.
        other_files: Whether files that are no images count as left out. They do where images
            belong, not beside folders of these.
    """
    found = Listing()
    with os.scandir(folder) as scanned:
        entries = sorted(scanned, key=lambda entry: entry.name)
    for entry in entries:
        path = Path(entry.path)
        if entry.name in _JUNK_FOLDERS:
            kind = f"{entry.name} folder"
        elif _is(entry.is_dir):
            if not entry.name.startswith("."):
                found.folders.append(path)
                continue
            kind = "hidden folder"
        elif _is(entry.is_file):
            if is_image(entry.name):
                found.images.append(path)
                continue
            if not other_files:
                continue
            kind = kind_of_file(entry.name)
        else:
            kind = "dangling link" if entry.is_symlink() else "special file"
        found.left_out.add(kind, path.relative_to(root or folder).as_posix())
    return found


def _is(asked: Callable[[], bool]) -> bool:
    """What an entry says; links that lead in a circle are nothing."""
    try:
        return asked()
    except OSError:
        return False


def list_below(folder: Path, root: Path | None = None) -> Listing:
    """All images in a folder and the folders below it, in no order.

    `folders` are those of the folder itself.

    Links to folders are followed, but no folder is listed twice: where several ways lead to it, the
    one without links counts, or else the one whose name comes first.

    Args:
        folder: To list.
        root: As for `list_folder`.
    """
    found = Listing()
    known: set[tuple[int, int]] = set()
    folders, links = [folder], list[Path]()
    while folders or links:
        path = folders.pop() if folders else links.pop(0)
        status = path.stat()
        if (status.st_dev, status.st_ino) in known:
            found.left_out.add("repeated folder", path.relative_to(root or folder).as_posix())
            continue
        known.add((status.st_dev, status.st_ino))
        here = list_folder(path, root or folder, other_files=True)
        if path == folder:
            found.folders = here.folders
        found.images += here.images
        found.left_out.include(here.left_out)
        links = sorted([*links, *(path for path in here.folders if path.is_symlink())])
        folders += [path for path in here.folders if not path.is_symlink()]
    return found
