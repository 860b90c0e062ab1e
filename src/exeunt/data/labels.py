"""What the labels of shards mean: classes by name or number, or values."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from exeunt.documents import read_text
from exeunt.errors import ExeuntError
from exeunt.runner.document import parse_json

CLASSES_FILE = "classes.txt"
LABEL_SUFFIXES = (".cls", ".json")


def read_label(where: str, files: Mapping[str, bytes]) -> str | float:
    """What the label files of an image say: a class's name or number (text), or a value.

    Args:
        where: The image, for messages.
        files: Contents by suffix. Where there are both, `.cls` counts.

    Raises:
        ExeuntError: If there is no file, or not one label in it.
    """
    if not files:
        raise ExeuntError(f"{where}: has no label; a .cls or .json of the same name is needed")
    suffix = ".cls" if ".cls" in files else ".json"
    try:
        text = files[suffix].decode("utf-8").strip()
        found = {"label": text} if suffix == ".cls" else parse_json(text)
    except ValueError as error:
        raise ExeuntError(f"{where}: its {suffix} cannot be read ({error})") from error
    keys = [key for key in ("label", "value") if isinstance(found, dict) and key in found]
    if len(keys) != 1:
        raise ExeuntError(f'{where}: its .json must be {{"label": ...}} or {{"value": ...}}')
    content = found[keys[0]]
    if keys == ["label"]:
        label = str(content).strip()
        if isinstance(content, bool) or not isinstance(content, int | str) or not label:
            raise ExeuntError(
                f"{where}: its {suffix} must have the number or name of a class, not {content!r}"
            )
        return label
    if isinstance(content, bool) or not isinstance(content, int | float):
        raise ExeuntError(f"{where}: its value must be a number, not {content!r}")
    if not abs(content) <= sys.float_info.max:
        raise ExeuntError(f"{where}: its value must be finite, not {content!r}")
    return float(content)


def number_classes(root: Path, first: Mapping[str, str]) -> tuple[tuple[str, ...], dict[str, int]]:
    """Class names, and the target of every label.

    Classes are those of `classes.txt` in `root`, which labels name or number from 0. Without the
    file they are the labels that occur, in the order of numbers if all are, or else of names.

    Args:
        root: Of the source.
        first: By label, the name of an image that has it.

    Raises:
        ExeuntError: If a label is none of the classes, or they cannot be told.
    """
    numbers = {label: int(label) for label in first if re.fullmatch("[+-]?[0-9]{1,9}", label)}
    path = root / CLASSES_FILE
    if path.is_file():
        names = _listed(path)
        targets = {name: target for target, name in enumerate(names)}
        for label, image in first.items():
            if label in targets:
                continue
            if not 0 <= numbers.get(label, -1) < len(names):
                raise ExeuntError(
                    f"{root / image}: label {label!r} is none of the {len(names)} classes of "
                    f"{path} (a name, or 0 to {len(names) - 1})"
                )
            targets[label] = numbers[label]
        return names, targets
    for label, number in numbers.items():
        if number < 0:
            raise ExeuntError(f"{root / first[label]}: label {label} is below 0")
    if numbers and len(numbers) < len(first):
        one = next(label for label in first if label in numbers)
        other = next(label for label in first if label not in numbers)
        raise ExeuntError(
            f"{root}: the label of {first[one]} is a number ({one}), that of {first[other]} is a "
            f"name ({other!r}); list the classes in {path}"
        )
    names = tuple(map(str, sorted(set(numbers.values())))) if numbers else tuple(sorted(first))
    return names, {label: names.index(str(numbers.get(label, label))) for label in first}


def _listed(path: Path) -> tuple[str, ...]:
    lines = read_text(path).splitlines()
    names = tuple(line.strip() for line in lines if line.strip())
    if len(names) < 2 or len(set(names)) < len(names):
        raise ExeuntError(f"{path}: at least two different class names, one a line, are needed")
    return names
