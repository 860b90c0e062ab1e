"""What the user's DATA may be, and which of the readers it is for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from exeunt.data.cifar import cifar_version, open_cifar
from exeunt.data.folder import open_folder
from exeunt.data.idx import has_idx, open_idx
from exeunt.data.imagenet import KAGGLE_FOLDER
from exeunt.data.shards import find_shards, open_shards
from exeunt.data.source import Source
from exeunt.data.store import PlainFile, members_of_tar_gz
from exeunt.data.table import open_table
from exeunt.errors import ExeuntError


def open_source(path: str | Path, class_names: Sequence[str] = ()) -> Source:
    """List the labelled images at `path`; no image is decoded.

    These layouts are understood (`docs/data.md` draws them):

    * a folder of class folders (images in folders below a class folder count as its own);
    * a folder with `train/` and `test/` or `val/` (other usual names do, `exeunt.data.pools` has
      them), each a folder of class folders. With both present `test/` is the test pool and `val/`
      is not used. ImageNet's `val/` may be flat if a file with its classes lies beside it, and the
      folder may be the one of Kaggle;
    * a folder of the files of CIFAR-10 or CIFAR-100, python or binary version, or the .tar.gz;
    * a folder of MNIST's idx files;
    * a folder of WebDataset's tar shards, or one such file;
    * a CSV file with the columns `file` and `label`, or `file` and `value` for regression; a
      column `split` may say which images are for testing (see `open_table`).

    Image files are told by their names (`IMAGE_SUFFIXES`), in any case. What is none of the images
    is counted in the source's `left_out`.

    Args:
        path: Of the images.
        class_names: Of a network. Targets then count these, whatever the order of the classes here;
            of some of them there may be no image. Without them, at least two classes are needed.

    Raises:
        ExeuntError: If `path` is none of these, or is one with a fault.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ExeuntError(
            f"DATA must be the path of labelled images, not an object of type "
            f"{type(path).__name__}; write the images to class folders, or list their files in a "
            "CSV of file,label"
        )
    source = _open(Path(path))
    if class_names and source.task == "classification":
        return source.numbered_as(class_names)
    if len(source.class_names) == 1:
        only = source.class_names[0]
        raise ExeuntError(f"{path}: only one class, {only!r}; at least two classes are needed")
    return source


def _open(path: Path) -> Source:
    if path.is_dir():
        return _open_directory(path)
    if not path.exists():
        raise ExeuntError(f"{path}: there is no such file or folder")
    if path.name.lower().endswith((".tar.gz", ".tgz")):
        return _open_tar_gz(path)
    if path.suffix.lower() == ".tar":
        return open_shards(path.parent, {"all": [path]})
    if path.suffix.lower() == ".csv":
        return open_table(path)
    raise ExeuntError(
        f"{path}: neither a folder nor a table (.csv), a shard (.tar), or CIFAR's .tar.gz"
    )


def _open_directory(path: Path) -> Source:
    with os.scandir(path) as entries:
        names = {entry.name for entry in entries if entry.is_file()}
    if cifar := cifar_version(names):
        return open_cifar(path, cifar, {name: PlainFile(path / name) for name in names})
    if has_idx(names):
        return open_idx(path)
    if shards := find_shards(path):
        return open_shards(path, shards)
    kaggle = path / KAGGLE_FOLDER
    return open_folder(kaggle if kaggle.is_dir() else path)


def _open_tar_gz(path: Path) -> Source:
    members = members_of_tar_gz(path)
    cifar = cifar_version(members)
    if cifar is None:
        raise ExeuntError(
            f"{path}: a .tar.gz file of anything but CIFAR is not read; unpack it, shards too"
        )
    return open_cifar(path, cifar, members)
