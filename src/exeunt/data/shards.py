"""DATA as WebDataset's tar shards: `key.jpg` with `key.cls` or `key.json`, nothing extracted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from exeunt.data.decode import IMAGE_SUFFIXES
from exeunt.data.labels import LABEL_SUFFIXES, number_classes, read_label
from exeunt.data.left_out import LeftOut, kind_of_file
from exeunt.data.place import FilePart
from exeunt.data.pools import pool_folders, pools_of_files
from exeunt.data.source import Sample, Source, by_name
from exeunt.data.store import PlainFile
from exeunt.data.tar import Member, tar_members
from exeunt.errors import ExeuntError

_READ_SUFFIXES = (*IMAGE_SUFFIXES, *LABEL_SUFFIXES)
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
        return pools_of_files(shards)
    by_pool = {
        pool: [shard for name in names for shard in _tars(folder / name)]
        for pool, names in pool_folders(path.name for path in subfolders).items()
    }
    train, test = by_pool.get("train"), by_pool.get("test") or by_pool.get("val")
    return {"train": train, "test": test} if train and test else None


def open_shards(root: Path, pools: Mapping[str, Sequence[Path]]) -> Source:
    """List the images of tar shards; headers and labels are read, images are not.

    A sample is all members whose names are equal up to the first dot of the file name, as in
    WebDataset. It has one image and a label: in `.cls` the number or name of a class, or in `.json`
    a `label` (the same) or, for regression, a `value`; where there are both files, `.cls` counts.
    Where a sample has none that is called just so, the end of the name counts: `1.small.png` is the
    image of `1` if there is no `1.png`. Other members are left out. Classes are those of
    `classes.txt` in `root`, one a line and numbered from 0; without it, the labels that occur,
    sorted.

    Raises:
        ExeuntError: If a shard is damaged, or a sample has no image, two, or no valid label.
    """
    left_out = LeftOut()
    found = {
        pool: [image for shard in shards for image in _images(root, shard, left_out)]
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
        others = f"; there are {left_out}" if left_out else ""
        raise ExeuntError(f"{root}: no images in the shards ({', '.join(IMAGE_SUFFIXES)}){others}")
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
        left_out,
    )


def _tars(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() == ".tar" and not path.name.startswith(".") and path.is_file()
    )


def _images(root: Path, shard: Path, left_out: LeftOut) -> Iterator[_Image]:
    """The images of a shard, in its order, with their labels."""
    prefix = shard.relative_to(root).as_posix()
    samples: dict[str, dict[str, Member]] = {}
    with shard.open("rb") as file:
        for member in tar_members(file, shard):
            folder, _, name = member.name.rpartition("/")
            stem, dot, field = name.partition(".")
            field = dot + field.lower()
            if not stem or not field.endswith(_READ_SUFFIXES):
                left_out.add(kind_of_file(name), f"{prefix}/{member.name}")
                continue
            if field in samples.setdefault(f"{folder}/{stem}", {}):
                raise ExeuntError(f"{shard}/{member.name}: occurs twice")
            samples[f"{folder}/{stem}"][field] = member
        for key, fields in samples.items():
            image = _field(shard, key, fields, IMAGE_SUFFIXES)
            plain = {suffix: suffix for suffix in LABEL_SUFFIXES if suffix in fields}
            if image is None and plain:
                raise ExeuntError(f"{shard}/{key.removeprefix('/')}: a label without an image")
            labels = plain if plain or not image else _longer_labels(shard, key, fields)
            for field, member in fields.items():
                if field != image and field not in labels.values():
                    left_out.add(field, f"{prefix}/{member.name}")
            if image is None:
                continue
            member = fields[image]
            contents = {
                suffix: _content(file, shard, fields[field]) for suffix, field in labels.items()
            }
            place = FilePart(PlainFile(shard), _offset(shard, member), member.size_bytes)
            label = read_label(f"{shard}/{member.name}", contents)
            yield _Image(place, f"{prefix}/{member.name}", label)


def _longer_labels(shard: Path, key: str, fields: Mapping[str, Member]) -> dict[str, str]:
    """By suffix, the label fields of a sample that has none called just so."""
    found = {suffix: _field(shard, key, fields, [suffix]) for suffix in LABEL_SUFFIXES}
    return {suffix: field for suffix, field in found.items() if field}


def _field(
    shard: Path, key: str, fields: Mapping[str, Member], suffixes: Sequence[str]
) -> str | None:
    """The field of a sample with one of these suffixes: of that name, or else with that end."""
    found = [field for field in fields if field in suffixes] or [
        field for field in fields if field.endswith(tuple(suffixes))
    ]
    if len(found) > 1:
        raise ExeuntError(
            f"{shard}/{fields[found[1]].name}: both this and {fields[found[0]].name} belong to the "
            f"sample {key.removeprefix('/')}: a key ends at the first dot of a file's name, by "
            "WebDataset's rule; give each image a name of its own before that dot"
        )
    return found[0] if found else None


def _offset(shard: Path, member: Member) -> int:
    if member.offset is None:
        raise ExeuntError(
            f"{shard}/{member.name}: a link or a sparse file, whose bytes are not there"
        )
    return member.offset


def _content(file: BinaryIO, shard: Path, member: Member) -> bytes:
    if member.size_bytes > _MAX_LABEL_BYTES:
        raise ExeuntError(f"{shard}/{member.name}: {member.size_bytes} bytes are no label")
    file.seek(_offset(shard, member))
    return file.read(member.size_bytes)
