"""Tables and small pictures for notebooks, as HTML that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_BAR, _GAP, _HEIGHT, _LETTER = 44, 6, 64, 7  # pixels
_ALIGNED = {"l": "left", "r": "right"}


def html_facts(rows: Sequence[tuple[str, str]]) -> str:
    """Names with their values, a line each."""
    return _table("".join(_row(row, "ll", first="th") for row in rows))


def html_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], align: str, title: str = ""
) -> str:
    """Rows under headings.

    Args:
        columns: the headings.
        rows: one text per column.
        align: one letter per column, `l` or `r`.
        title: above the table.
    """
    caption = f'<caption style="text-align:left">{escape(title)}</caption>' if title else ""
    head = f"<thead>{_row(columns, align, first='th', other='th')}</thead>"
    body = "".join(_row(row, align) for row in rows)
    return _table(f"{caption}{head}<tbody>{body}</tbody>")


def html_bars(
    shares: Sequence[float], names: Sequence[str], title: str, lit: int | None = None
) -> str:
    """A bar for each exit.

    Args:
        shares: their heights, 0 to 1.
        names: below the bars.
        title: what they are, read aloud where pictures are not seen.
        lit: the bars after this one, counted from 1, are faint; None for none.
    """
    wide = max([_BAR, *(_LETTER * len(name) + _GAP for name in names)])
    parts = []
    for k, (share, name) in enumerate(zip(shares, names, strict=True)):
        tall = max(1.0, _HEIGHT * share)
        faint = lit is not None and k >= lit
        parts.append(
            f'<rect x="{k * wide + _GAP // 2}" y="{_HEIGHT - tall:.1f}" width="{wide - _GAP}" '
            f'height="{tall:.1f}" fill="#2a9d8f" opacity="{0.25 if faint else 1}"/>'
            f'<text x="{k * wide + wide / 2:g}" y="{_HEIGHT + 14}" text-anchor="middle" '
            f'fill="currentColor" opacity="{0.5 if faint else 1}">{escape(name)}</text>'
        )
    width, height = max(1, wide * len(shares)), _HEIGHT + 20
    return (
        f'<svg role="img" aria-label="{escape(title)}" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-size="11" font-family="sans-serif">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def _table(inside: str) -> str:
    return f'<table style="margin:0 0 0.5em">{inside}</table>'


def _row(cells: Sequence[str], align: str, first: str = "td", other: str = "td") -> str:
    tags = [first, *[other] * (len(cells) - 1)]
    shown = (
        f'<{tag} style="text-align:{_ALIGNED[letter]};padding:0 0.5em">{escape(cell)}</{tag}>'
        for tag, cell, letter in zip(tags, cells, align, strict=True)
    )
    return f"<tr>{''.join(shown)}</tr>"
