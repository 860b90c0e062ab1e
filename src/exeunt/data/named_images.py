"""The images that a user names on the command line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from exeunt.data.decode import IMAGE_SUFFIXES
from exeunt.data.folder import images_below
from exeunt.errors import ExeuntError


def find_images(names: Iterable[str]) -> list[Path]:
    """Files in the order given; a folder stands for the images below it, sorted.

    A name that is no folder is taken as it is: whether it can be read shows when it is read.

    Raises:
        ExeuntError: when a folder holds no image, or there is no name at all.
    """
    found: list[Path] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            inside = sorted(images_below(path))
            if not inside:
                raise ExeuntError(f"{path}: no images in this folder ({', '.join(IMAGE_SUFFIXES)})")
            found += inside
        else:
            found.append(path)
    if not found:
        raise ExeuntError("no images: name files or folders, or `-` for a list of them on stdin")
    return found
