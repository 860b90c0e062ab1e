"""What the user's DATA may be, and which of the readers it is for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from exeunt.data.arrow import find_parquet, is_saved, open_parquet, open_saved
from exeunt.data.cifar import VERSIONS, cifar_version, open_cifar
from exeunt.data.folder import open_folder
from exeunt.data.idx import has_idx, open_idx
from exeunt.data.imagenet import KAGGLE_FOLDER
from exeunt.data.labelled import DataLike, LabelledImages, as_data
from exeunt.data.left_out import listed
from exeunt.data.listing import list_folder
from exeunt.data.shards import find_shards, open_shards
from exeunt.data.source import Source
from exeunt.data.store import PlainFile, members_of_tar_gz
from exeunt.data.table import open_table
from exeunt.errors import ExeuntError


def open_source(data: DataLike, class_names: Sequence[str] = ()) -> Source:
    """List labelled images; of those at a path none is decoded.

    These layouts are understood (`docs/data.md` draws them):

    * a folder of class folders (images in folders below a class folder count as its own);
    * a folder with `train/` and `test/` or `val/` (other usual names do, `exeunt.data.pools` has
      them), each a folder of class folders. With both present `test/` is the test pool and `val/`
      is not used. ImageNet's `val/` may be flat if a file with its classes lies beside it, and the
      folder may be the one of Kaggle;
    * a folder of the files of CIFAR-10 or CIFAR-100, python or binary version, or the .tar.gz;
    * a folder of MNIST's idx files;
    * a folder of WebDataset's tar shards, or one such file;
    * a folder of Hugging Face's `save_to_disk`;
    * a folder of parquet files, or one such file;
    * the folder in which torchvision keeps CIFAR or MNIST;
    * a CSV file with the columns `file` and `label`, or `file` and `value` for regression; a
      column `split` may say which images are for testing (see `open_table`).

    Image files are told by their names (`IMAGE_SUFFIXES`), in any case. What is none of the images
    is counted in the source's `left_out`.

    Args:
        data: The path of the images, or a dataset (see `LabelledImages`).
        class_names: Of a network. Targets then count these, whatever the order of the classes here;
            of some of them there may be no image. Without them, at least two classes are needed.

    Raises:
        ExeuntError: If `data` is none of these, or is one with a fault.
    """
    data = as_data(data)
    source = data.source if isinstance(data, LabelledImages) else _open(data)
    if class_names and source.task == "classification":
        return source.numbered_as(class_names)
    if len(source.class_names) == 1:
        only = source.class_names[0]
        raise ExeuntError(f"{data}: only one class, {only!r}; at least two classes are needed")
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
    if path.suffix.lower() == ".parquet":
        return open_parquet(path, {"all": [path]})
    if path.suffix.lower() == ".csv":
        return open_table(path)
    raise ExeuntError(
        f"{path}: neither a folder nor a table (.csv, .parquet), a shard (.tar), or CIFAR's .tar.gz"
    )


def _open_directory(path: Path) -> Source:
    found = _open_published(path)
    if found is not None:
        return found
    if is_saved(path):
        return open_saved(path)
    if parquet := find_parquet(path):
        return open_parquet(path, parquet)
    if shards := find_shards(path):
        return open_shards(path, shards)
    if inner := _in_torchvision_root(path):
        return _below(path, inner)
    kaggle = path / KAGGLE_FOLDER
    return open_folder(kaggle if kaggle.is_dir() else path)


def _open_published(path: Path) -> Source | None:
    """CIFAR's or MNIST's files in the folder, if they are there."""
    names = _files(path)
    if cifar := cifar_version(names):
        return open_cifar(path, cifar, {name: PlainFile(path / name) for name in names})
    if has_idx(names):
        return open_idx(path)
    return None


def _in_torchvision_root(path: Path) -> Path | None:
    """The folder below `path` that holds CIFAR or MNIST, as torchvision puts them.

    Raises:
        ExeuntError: If there are several.
    """
    cifar = {file.parent for version in VERSIONS for file in path.glob(f"*/{version.meta}")}
    inner = sorted(
        folder
        for folder in {*cifar, path / "raw", *path.glob("*/raw")}
        if folder.is_dir() and (cifar_version(names := _files(folder)) or has_idx(names))
    )
    if len(inner) > 1:
        raise ExeuntError(
            f"{path}: holds {listed(str(one.relative_to(path)) for one in inner)}; give one of them"
        )
    return inner[0] if inner else None


def _below(path: Path, inner: Path) -> Source:
    """What `inner` holds, and what lies beside it left out."""
    source = _open_published(inner)
    assert source is not None
    for folder in list_folder(path).folders:
        if folder not in (inner, inner.parent):
            source.left_out.add("unused folder", folder.name)
    return source


def _files(path: Path) -> set[str]:
    with os.scandir(path) as entries:
        return {entry.name for entry in entries if entry.is_file()}


def _open_tar_gz(path: Path) -> Source:
    members = members_of_tar_gz(path)
    cifar = cifar_version(members)
    if cifar is None:
        raise ExeuntError(
            f"{path}: a .tar.gz file of anything but CIFAR is not read; unpack it, shards too"
        )
    return open_cifar(path, cifar, members)
