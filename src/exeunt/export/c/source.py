"""C source, put together piece by piece."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from exeunt.export.c.spelling import comment

_WIDTH = 100
_SIZES = {"int8_t": 1, "int16_t": 2, "uint16_t": 2, "int32_t": 4, "uint32_t": 4, "float": 4}
_SIZES |= {"exn_row": 12, "exn_four": 32, "exn_byte_table": 256, "exn_between_f32": 8}
_INDENT = "    "


class CSource:
    """Definitions of constants, in order; what is defined twice with the same content is one.

    Args:
        prefix: of every name.

    Attributes:
        constant_bytes: of all numbers in arrays, as a machine stores them.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.parts: list[str] = []
        self.constant_bytes = 0
        self._known: dict[tuple[str, str], str] = {}
        self._note = ""

    def note(self, text: str) -> None:
        """A comment before what is defined next."""
        self._note = f"/* {comment(text)} */\n"

    def array(
        self, kind: str, name: str, values: Iterable[Any], notes: Sequence[str] | None = None
    ) -> str:
        """Defines a constant array, or finds one that is equal; returns its name.

        Args:
            kind: of its elements.
            name: without the prefix.
            values: of its elements, as C spells them.
            notes: one for each element, to be written before it on a line of its own.
        """
        items = [str(value) for value in values]
        count = len(self.parts)
        body = _wrapped(items) if notes is None else _noted(items, notes)
        defined = self._define(kind, f"{name}[{len(items)}]", body)
        if len(self.parts) > count:
            self.constant_bytes += _SIZES.get(kind.split()[-1], 0) * len(items)
        return defined

    def struct(self, kind: str, name: str, fields: dict[str, Any]) -> str:
        """Defines a constant struct; returns its name."""
        return self._define(kind, name, _wrapped([initialiser(fields)[1:-1].strip()]))

    def _define(self, kind: str, declarator: str, body: str) -> str:
        name = f"{self.prefix}_{declarator}"
        if (kind, body) not in self._known:
            self._known[kind, body] = name
            self.parts.append(f"{self._note}static const {kind} {name} = {{\n{body}\n}};\n")
            self._note = ""
        return self._known[kind, body].partition("[")[0]

    def __str__(self) -> str:
        return "\n".join(self.parts)


def float_texts(values: Iterable[float]) -> list[str]:
    """Constants that C reads as the nearest float32 of each value."""
    texts = (f"{value:.9g}" for value in np.array([*values], np.float32).tolist())
    return [f"{text}f" if "." in text or "e" in text else f"{text}.f" for text in texts]


def initialiser(fields: dict[str, Any]) -> str:
    """`{.a = 1, .b = {.c = 2}}`, from names and values, nested."""
    said = (
        f".{name} = {initialiser(value) if isinstance(value, dict) else value}"
        for name, value in fields.items()
    )
    return "{" + ", ".join(said) + "}"


def _noted(items: Sequence[str], notes: Sequence[str]) -> str:
    last = len(items) - 1
    lines = (
        f"{_INDENT}/* {comment(note)} */\n{_INDENT}{item}{',' if k < last else ''}"
        for k, (item, note) in enumerate(zip(items, notes, strict=True))
    )
    return "\n".join(lines)


def _wrapped(items: Sequence[str]) -> str:
    lines, line = [], _INDENT
    for item in items:
        if len(line) + len(item) + 1 > _WIDTH and line != _INDENT:
            lines.append(line.rstrip())
            line = _INDENT
        line += f"{item}, "
    return "\n".join([*lines, line.rstrip().rstrip(",")])


def repeating(values: Sequence[Any]) -> Sequence[Any]:
    """The shortest beginning of which the rest is a repetition."""
    periods = range(1, len(values) + 1)
    return next(values[:n] for n in periods if values[n:] == values[:-n])
