"""A part of what `exeunt eval` tells: rows for programs, and a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Section:
    """Some rows that belong together.

    Attributes:
        title: what the table is about.
        rows: all numbers, under names and in plain units; each has a `kind`.
        columns: headings of the table.
        cells: its lines, of one text per column; it may show less than the rows hold.
        align: one letter per column, `l` or `r`.
    """

    title: str
    rows: Sequence[Row]
    columns: Sequence[str]
    cells: Sequence[Sequence[str]]
    align: str
