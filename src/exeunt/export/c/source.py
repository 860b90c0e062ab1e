"""C source, put together piece by piece."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

_WIDTH = 100
_SIZES = {"int8_t": 1, "int16_t": 2, "uint16_t": 2, "int32_t": 4, "uint32_t": 4, "float": 4}
_SIZES |= {"exn_row": 12, "exn_byte_table": 256, "exn_between_f32": 8}
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

    def array(self, kind: str, name: str, values: Iterable[Any]) -> str:
        """Defines a constant array, or finds one that is equal; returns its name."""
        items = [str(value) for value in values]
        count = len(self.parts)
        defined = self._define(kind, f"{name}[{len(items)}]", items)
        if len(self.parts) > count:
            self.constant_bytes += _SIZES.get(kind.split()[-1], 0) * len(items)
        return defined

    def struct(self, kind: str, name: str, fields: dict[str, Any]) -> str:
        """Defines a constant struct; returns its name."""
        return self._define(kind, name, [initialiser(fields)[1:-1].strip()])

    def _define(self, kind: str, declarator: str, items: Sequence[str]) -> str:
        body = _wrapped(items)
        name = f"{self.prefix}_{declarator}"
        if (kind, body) not in self._known:
            self._known[kind, body] = name
            self.parts.append(f"static const {kind} {name} = {{\n{body}\n}};\n")
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


def _wrapped(items: Sequence[str]) -> str:
    lines, line = [], _INDENT
    for item in items:
        if len(line) + len(item) + 1 > _WIDTH and line != _INDENT:
            lines.append(line.rstrip())
            line = _INDENT
        line += f"{item}, "
    return "\n".join([*lines, line.rstrip().rstrip(",")])
