"""DATA as WebDataset's tar shards: `key.jpg` with `key.cls` or `key.json`, nothing extracted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from exeunt.data.decode import IMAGE_SUFFIXES
from exeunt.data.labels import LABEL_SUFFIXES, number_classes, read_label
from exeunt.data.place import FilePart
from exeunt.data.source import Sample, Source, by_name
from exeunt.data.tar import Member, tar_members
from exeunt.errors import ExeuntError

POOL_WORDS = {
    "train": {"train", "training"},
    "test": {"test"},
    "val": {"val", "valid", "validation"},
}

_READ_SUFFIXES = {*IMAGE_SUFFIXES, *LABEL_SUFFIXES}
_MAX_LABEL_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class _Image:
    """An image of a shard: its label is a class's name or number (text), or a value."""

    place: FilePart
    name: str
    label: str | float


def find_shards(folder: Path) -> dict[str, list[Path]] | None:
    """The shards of a folder by pool, or None if it is not one of shards.

    Shards lie in the folder itself, which then has no folders, or in `train/` and `test/` (or
    `val/`). In one folder, words of their names tell the pools, as in `train-0000.tar`.

    Raises:
        ExeuntError: If some shards are for training and some for testing, and one is neither.
    """
    subfolders = [path for path in folder.iterdir() if path.is_dir() and path.name[0] != "."]
    shards = _tars(folder)
    if shards and not subfolders:
        return _pools(shards)
    train, test, val = (
        _tars(folder / name) if folder / name in subfolders else [] for name in POOL_WORDS
    )
    return {"train": train, "test": test or val} if train and (test or val) else None


def open_shards(root: Path, pools: Mapping[str, Sequence[Path]]) -> Source:
    """List the images of tar shards; headers and labels are read, images are not.

    A sample is all members whose names are equal up to the first dot of the file name. It has one
    image and a label: in `.cls` the number or name of a class, or in `.json` a `label` (the same)
    or, for regression, a `value`; where there are both files, `.cls` counts. Other members are
    ignored. Classes are those of `classes.txt` in `root`, one a line and numbered from 0; without
    it, the labels that occur, sorted.

    Raises:
        ExeuntError: If a shard is damaged, or a sample has no image, two, or no valid label.
    """
    found = {
        pool: [image for shard in shards for image in _images(root, shard)]
        for pool, shards in pools.items()
    }
    first: dict[str, str] = {}
    value: str | None = None
    for image in (image for images in found.values() for image in images):
        if isinstance(image.label, str):
            first.setdefault(image.label, image.name)
        else:
            value = image.name
    if first and value:
        label = next(iter(first.values()))
        raise ExeuntError(f"{root}: {value} has a value, but {label} has a label of a class")
    if not (first or value):
        raise ExeuntError(f"{root}: no images in the shards ({', '.join(IMAGE_SUFFIXES)})")
    class_names, targets = number_classes(root, first) if first else ((), {})
    return Source(
        root,
        "regression" if value else "classification",
        class_names,
        {
            pool: by_name(
                Sample(
                    image.place,
                    targets[image.label] if isinstance(image.label, str) else image.label,
                    image.name,
                )
                for image in images
            )
            for pool, images in found.items()
        },
    )


def _tars(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() == ".tar" and not path.name.startswith(".") and path.is_file()
    )


def _pools(shards: Sequence[Path]) -> dict[str, list[Path]]:
    by_pool: dict[str, list[Path]] = {}
    for shard in shards:
        words = set(re.split("[^a-z]+", shard.stem.lower()))
        pools = [pool for pool, meant in POOL_WORDS.items() if words & meant]
        by_pool.setdefault(pools[0] if len(pools) == 1 else "", []).append(shard)
    test = by_pool.get("test") or by_pool.get("val")
    if not ("train" in by_pool and test):
        return {"all": list(shards)}
    if "" in by_pool:
        raise ExeuntError(
            f"{by_pool[''][0]}: other shards here have train and test (or val) in their names; "
            "this one has neither, or both"
        )
    return {"train": by_pool["train"], "test": test}


def _images(root: Path, shard: Path) -> Iterator[_Image]:
    """The images of a shard, in its order, with their labels."""
    prefix = shard.relative_to(root).as_posix()
    images: dict[str, Member] = {}
    labels: dict[str, dict[str, bytes]] = {}
    with shard.open("rb") as file:
        for member in tar_members(file, shard):
            folder, _, name = member.name.rpartition("/")
            stem, dot, suffix = name.partition(".")
            suffix = dot + suffix.lower()
            if not stem or suffix not in _READ_SUFFIXES:
                continue
            where = f"{shard}/{member.name}"
            if member.offset is None:
                raise ExeuntError(f"{where}: a link or a sparse file, whose bytes are not there")
            key = f"{folder}/{stem}"
            if suffix in IMAGE_SUFFIXES:
                if key in images:
                    raise ExeuntError(
                        f"{where}: a second image of the same sample, after {images[key].name}"
                    )
                images[key] = member
            else:
                if suffix in labels.setdefault(key, {}):
                    raise ExeuntError(f"{where}: occurs twice")
                if member.size_bytes > _MAX_LABEL_BYTES:
                    raise ExeuntError(f"{where}: {member.size_bytes} bytes are no label")
                file.seek(member.offset)
                labels[key][suffix] = file.read(member.size_bytes)
    for key in labels:
        if key not in images:
            raise ExeuntError(f"{shard}/{key.removeprefix('/')}: a label without an image")
    for key, member in images.items():
        where = f"{shard}/{member.name}"
        label = read_label(where, labels.get(key, {}))
        place = FilePart(shard, member.offset or 0, member.size_bytes)
        yield _Image(place, f"{prefix}/{member.name}", label)
