"""The images that a user names on the command line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from exeunt.cli.render import note
from exeunt.data.decode import IMAGE_SUFFIXES
from exeunt.data.left_out import LeftOut
from exeunt.data.listing import list_below
from exeunt.errors import ExeuntError


def find_images(names: Iterable[str]) -> list[Path]:
    """Files in the order given; a folder stands for the images below it, sorted.

    A name that is no folder is taken as it is: whether it can be read shows when it is read. What
    is no image in a folder is said on stderr.

    Raises:
        ExeuntError: when a folder holds no image, or there is no name at all.
    """
    found: list[Path] = []
    left_out = LeftOut()
    for name in names:
        path = Path(name)
        if path.is_dir():
            inside = list_below(path)
            if not inside.images:
                others = f"; there are {inside.left_out}" if inside.left_out else ""
                raise ExeuntError(
                    f"{path}: no images in this folder ({', '.join(IMAGE_SUFFIXES)}){others}"
                )
            found += sorted(inside.images)
            left_out.include(inside.left_out)
        else:
            found.append(path)
    if not found:
        raise ExeuntError("no images: name files or folders, or `-` for a list of them on stdin")
    note(left_out.note)
    return found
