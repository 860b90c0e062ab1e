"""Images that a user names: files, and folders of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

from exeunt.data.decode import IMAGE_SUFFIXES
from exeunt.data.left_out import LeftOut
from exeunt.data.listing import list_below
from exeunt.errors import ExeuntError, ExeuntNote


def find_images(names: Iterable[str]) -> list[Path]:
    """Files in the order given; a folder stands for the images below it, sorted.

    A name that is no folder is taken as it is: whether it can be read shows when it is read. What
    is no image in a folder is warned of.

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
    if left_out:
        warnings.warn(left_out.note, ExeuntNote, stacklevel=2)
    return found
