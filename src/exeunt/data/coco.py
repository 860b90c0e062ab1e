"""Visual Wake Words: COCO's images labelled by whether they show a person, large enough.

The rule is that of Chowdhery et al., "Visual Wake Words Dataset" (2019).
"""

from __future__ import annotations

import csv
import difflib
import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from exeunt.documents import parse_json, read_text
from exeunt.errors import ExeuntError
from exeunt.files import AS_NAMED, replacing

Measure = Literal["box", "mask"]

YEARS = ("2014", "2017")
PARTS = ("train", "val")
_MOST_PIXELS = 1 << 40  # of a side or a mask: more is none
_FIELDS = {"box": "bbox", "mask": "area"}
_MOST_BYTES = 1 << 32  # of a file of instances; COCO's own have 0.5 GB


@dataclass(frozen=True, slots=True)
class Listed:
    """An image with its label and split ("train" or "test")."""

    file: Path
    label: str
    split: str


def wake_words(
    coco: Path,
    *,
    year: str | None = None,
    category: str = "person",
    area: float = 0.005,
    measure: Measure = "box",
    minival: Path | None = None,
) -> list[Listed]:
    """Label COCO's images: `category`, or `not-` it. No image is read.

    An image belongs to the category if at least one of its annotations, crowds included, covers
    more than `area` of it. Images without annotations do not.

    Args:
        coco: The folder with `annotations/instances_{train,val}{year}.json`, and the images in
            `{train,val}{year}/`, there or in `images/`.
        year: "2014" or "2017"; may be left out where only one is there.
        category: One of COCO's.
        area: Share of the image, at least 0 and below 1.
        measure: What covers the image: the box of an annotation, as the paper says, or the pixels
            of its mask, as the scripts do by which the set was published.
        minival: A file of image numbers, one a line. These images are the test split and all
            others the train split, as in the paper; without it, val is the test split.

    Raises:
        ExeuntError: If something is missing or not what COCO's files are.
    """
    if not 0 <= area < 1:
        raise ExeuntError(f"area must be a share of the image, from 0 to below 1, not {area}")
    if measure not in get_args(Measure):
        raise ExeuntError(f"measure must be box or mask, not {measure!r}")
    year = _year(coco, year)
    numbers = None if minival is None else _numbers(minival)
    listed = []
    for part in PARTS:
        path = _annotations(coco, part, year)
        found = _Annotations.read(path, measure)
        covered = found.covered(category, area, measure)
        files = found.files(_image_folder(coco, f"{part}{year}"))
        for number, file in files.items():
            if numbers is None:
                split = "train" if part == "train" else "test"
            else:
                split = "test" if number in numbers else "train"
                numbers.discard(number)
            label = category if number in covered else f"not-{category}"
            listed.append(Listed(file, label, split))
    if numbers:
        raise ExeuntError(
            f"{minival}: {len(numbers)} numbers are of no image of {year}, such as {min(numbers)}"
        )
    return listed


def write_list(listed: Iterable[Listed], path: Path) -> None:
    """Write a CSV of file,label,split; files are relative to its folder.

    Raises:
        OSError: If the file cannot be written.
    """
    folder = path.parent.absolute()
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors=AS_NAMED) as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("file", "label", "split"))
        for one in listed:
            relative = Path(os.path.relpath(one.file.absolute(), folder))
            writer.writerow((relative.as_posix(), one.label, one.split))


class _Annotations:
    """What is needed of a file of instances.

    Attributes:
        path: The file.
        images: File name and area in pixels, by number.
        categories: Numbers by name.
        annotations: Of each its name in messages, and what was found of it.
    """

    def __init__(self, path: Path, found: object) -> None:
        self.path = path
        if not isinstance(found, dict):
            raise ExeuntError(f"{path}: not COCO's instances: {_shown(found)} is no object")
        self.images: dict[int, tuple[str, float]] = {}
        for where, entry in self._entries(found, "images"):
            number = self._field(where, entry, "id", int)
            width, height = (
                self._field(where, entry, side, int, float) for side in ("width", "height")
            )
            sides = f"{_shown(width)} x {_shown(height)}"
            if not (0 < width <= _MOST_PIXELS and 0 < height <= _MOST_PIXELS):
                raise ExeuntError(f"{path}, {where}: an image of {sides} pixels")
            if number in self.images:
                raise ExeuntError(f"{path}, {where}: the id {number} occurs twice")
            self.images[number] = self._field(where, entry, "file_name", str), width * height
        self.categories: dict[str, int] = {}
        for where, entry in self._entries(found, "categories"):
            name = self._field(where, entry, "name", str)
            self.categories[name] = self._field(where, entry, "id", int)
        self.annotations = list(self._entries(found, "annotations"))

    @classmethod
    def read(cls, path: Path, measure: Measure) -> _Annotations:
        """Reads a file, keeping little of it: outlines take up most of the space."""
        fields = ("id", "image_id", "category_id", _FIELDS[measure])

        def slim(entry: dict[str, Any]) -> object:
            if "image_id" in entry:
                return {field: entry[field] for field in fields if field in entry}
            return entry if "counts" not in entry else None

        found = parse_json(read_text(path, _MOST_BYTES), path, slim)
        return cls(path, found)

    def covered(self, category: str, area: float, measure: Measure) -> set[int]:
        """Numbers of the images of which the category covers more than `area`."""
        if category not in self.categories:
            near = difflib.get_close_matches(category, self.categories, 3)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise ExeuntError(f"{self.path}: there is no category {category!r}{hint}")
        wanted = self.categories[category]
        found = set()
        for where, entry in self.annotations:
            if self._field(where, entry, "category_id", int) != wanted:
                continue
            number = self._field(where, entry, "image_id", int)
            if number not in self.images:
                raise ExeuntError(f"{self.path}, {where}: image_id {number} is no image's id")
            if self._extent(where, entry, measure) / self.images[number][1] > area:
                found.add(number)
        return found

    def _extent(self, where: str, entry: dict[str, Any], measure: Measure) -> float:
        """How many pixels an annotation covers."""
        field = _FIELDS[measure]
        if measure == "mask":
            sides = [self._field(where, entry, field, int, float)]
        else:
            box = self._field(where, entry, field, list)
            sides = box[2:] if len(box) == 4 and all(map(_is_number, box)) else [math.nan]
        if not all(0 <= side <= _MOST_PIXELS for side in sides):
            wanted = "at least 0" if measure == "mask" else "[x, y, width, height], none negative"
            raise ExeuntError(
                f"{self.path}, {where}: {field} must be {wanted}, not {_shown(entry[field])}"
            )
        return float(math.prod(sides))

    def _entries(self, found: dict[str, Any], kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The objects of a list, each with its name in messages."""
        if not isinstance(entries := found.get(kind), list):
            raise ExeuntError(
                f"{self.path}: not COCO's instances: {kind!r} must be a list, not {_shown(entries)}"
            )
        for i, entry in enumerate(entries):
            if not isinstance(entry, dict):
                raise ExeuntError(f"{self.path}, {kind}[{i}]: no object but {_shown(entry)}")
            yield f"{kind}[{i}]", entry

    def _field(self, where: str, entry: dict[str, Any], field: str, *kinds: type) -> Any:
        """A field of one of these types."""
        if field not in entry:
            raise ExeuntError(f"{self.path}, {where}: {field!r} is missing")
        value = entry[field]
        if not isinstance(value, kinds) or isinstance(value, bool):
            wanted = {int: "a whole number", str: "a text", list: "a list"}[kinds[0]]
            wanted = "a number" if float in kinds else wanted
            raise ExeuntError(
                f"{self.path}, {where}: {field} must be {wanted}, not {_shown(value)}"
            )
        return value

    def files(self, folder: Path) -> dict[int, Path]:
        """The image files by number.

        Raises:
            ExeuntError: If any is missing.
        """
        there = {entry.name for entry in folder.iterdir()}  # quicker than asking for each
        missing = [name for name, _ in self.images.values() if name not in there]
        if missing:
            raise ExeuntError(
                f"{folder}: {len(missing)} of the {len(self.images)} images of {self.path} are "
                f"missing, such as {missing[0]}"
            )
        return {number: folder / name for number, (name, _) in self.images.items()}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: object) -> str:
    """A value as JSON has it, cut short."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _annotations(coco: Path, part: str, year: str) -> Path:
    return coco / "annotations" / f"instances_{part}{year}.json"


def _year(coco: Path, year: str | None) -> str:
    """The year asked for, or the only one that is there."""
    if year is not None and year not in YEARS:
        raise ExeuntError(f"year must be {' or '.join(YEARS)}, not {year!r}")
    missing = {
        one: [path for part in PARTS if not (path := _annotations(coco, part, one)).is_file()]
        for one in YEARS
    }
    there = [one for one in YEARS if not missing[one]]
    if year is not None:
        there = [one for one in there if one == year]
    if len(there) > 1:
        raise ExeuntError(f"{coco}: has {' and '.join(there)}; choose one with --year")
    if not there:
        nearest = min((year,) if year else YEARS, key=lambda one: len(missing[one]))
        raise ExeuntError(f"{' and '.join(map(str, missing[nearest]))}: missing")
    return there[0]


def _image_folder(coco: Path, name: str) -> Path:
    folders = (coco / name, coco / "images" / name)
    folder = next((folder for folder in folders if folder.is_dir()), None)
    if folder is None:
        raise ExeuntError(f"{coco}: there is no folder {name}, here or in images/")
    return folder


def _numbers(path: Path) -> set[int]:
    try:
        numbers = {int(line) for line in read_text(path).split()}
    except ValueError as error:
        raise ExeuntError(f"{path}: not a list of image numbers, one a line ({error})") from error
    if not numbers:
        raise ExeuntError(f"{path}: lists no image numbers")
    return numbers


def counts(listed: Sequence[Listed], category: str) -> dict[str, tuple[int, int]]:
    """By split: how many images there are, and how many belong to the category."""
    return {
        split: (
            sum(one.split == split for one in listed),
            sum(one.split == split and one.label == category for one in listed),
        )
        for split in ("train", "test")
    }
