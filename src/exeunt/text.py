"""Numbers and tables as text."""

from __future__ import annotations

import re
from collections.abc import Sequence

_DECIMAL = re.compile(r"\d+\.\d+(?:e[+-]?\d+)?|\d+e[+-]?\d+")


def aligned(rows: Sequence[Sequence[str]], align: str) -> list[str]:
    """Rows as lines whose columns stand two blanks apart, without blanks at the end.

    Args:
        rows: one text per column.
        align: one letter per column, `l` or `r`.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if letter == "l" else cell.rjust(width)
            for cell, width, letter in zip(row, widths, align, strict=True)
        ).rstrip()
        for row in rows
    ]


def millions(macs: float) -> str:
    """`8.93 M`."""
    return f"{macs / 1e6:.2f} M"


def percent(share: float) -> str:
    """`41.2 %`, from 0.412."""
    return f"{100 * share:.1f} %"


def figure(value: float) -> str:
    """A value of regression, in four digits."""
    return f"{value:.4g}"


def short_spec(spec: str) -> str:
    """A policy's spec with its decimals in four digits."""
    return _DECIMAL.sub(lambda match: figure(float(match[0])), spec)
