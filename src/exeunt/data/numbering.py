"""From labels as a dataset has them to targets: numbers or names of classes, or values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from exeunt.data.left_out import listed
from exeunt.errors import ExeuntError

_KINDS: dict[type, str] = {int: "a number", str: "a name", float: "a value (float)"}


def number_labels(
    title: str, labels: Mapping[str, Sequence[int | float | str]], class_names: Sequence[str] = ()
) -> tuple[tuple[str, ...], dict[str, list[int | float]]]:
    """The names of the classes, none for regression, and the target of every label.

    Args:
        title: What the data are called in messages.
        labels: By pool: ints number the classes, texts name them, floats are values.
        class_names: By number; without them, the labels that occur, sorted.

    Raises:
        ExeuntError: If labels are of two kinds, or one is none of the classes.
    """
    first: dict[int | float | str, str] = {}
    kinds: dict[type, str] = {}
    for pool, found in labels.items():
        for index, label in enumerate(found):
            where = f"item {index}" if pool == "all" else f"{pool} item {index}"
            kinds.setdefault(type(label), f"that of {where} is {_KINDS[type(label)]}, {label!r}")
            if not isinstance(label, float):
                first.setdefault(label, where)
    if len(kinds) > 1:
        one, other = [*kinds.values()][:2]
        raise ExeuntError(f"{title}: labels of two kinds: {one}; {other}")
    if float in kinds:
        return (), {pool: list(map(float, found)) for pool, found in labels.items()}
    if twice := sorted({name for name in class_names if [*class_names].count(name) > 1}):
        raise ExeuntError(
            f"{title}: classes of the same name: {listed(map(repr, twice))}; give class_names that "
            "differ"
        )
    if least := [label for label in first if isinstance(label, int) and label < 0]:
        raise ExeuntError(
            f"{title}, {first[least[0]]}: label {least[0]} is below 0; as a rule that says that "
            "there is no label. Leave such images out"
        )
    names = tuple(class_names) or tuple(map(str, sorted(first)))
    numbers: dict[int | float | str, int] = {name: number for number, name in enumerate(names)}
    if int in kinds:
        numbers = {label: label if class_names else numbers[str(label)] for label in first}  # type: ignore[misc]
    for label, where in first.items():
        if label not in numbers or numbers[label] >= len(names):
            raise ExeuntError(
                f"{title}, {where}: label {label!r} is none of the {len(names)} classes "
                f"{listed(map(repr, names))}"
            )
    return names, {pool: [numbers[label] for label in found] for pool, found in labels.items()}
