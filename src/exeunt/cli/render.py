"""Tables: rich on a terminal, plain aligned text through a pipe."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from exeunt.text import aligned

_noted: set[str] = set()


def show_table(titles: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> None:
    """Prints a table to stdout. What a pipe gets is never cut, whatever its width.

    Args:
        titles: of the columns.
        rows: one text per column.
        align: one letter per column, `l` or `r`.
    """
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        for line in aligned([titles, *rows], align):
            typer.echo(line)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title, letter in zip(titles, align, strict=True):
        justify: Literal["left", "right"] = "left" if letter == "l" else "right"
        table.add_column(title, justify=justify, overflow="fold", no_wrap=letter == "r")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def show_facts(facts: Sequence[tuple[str, str]]) -> None:
    """Prints named facts, one per line."""
    for line in aligned(facts, "ll"):
        typer.echo(line)


def show_json(record: dict[str, Any]) -> None:
    """Prints one line of JSON Lines."""
    typer.echo(json.dumps(record))


def warn(message: str) -> None:
    """Prints a warning to stderr."""
    typer.echo(f"exeunt: warning: {message}", err=True)


def note(message: str) -> None:
    """Prints to stderr what need not worry, unless it is empty or this command has said it."""
    if message and message not in _noted:
        _noted.add(message)
        typer.echo(f"exeunt: note: {message}", err=True)


def forget_notes() -> None:
    """Lets a command say what the one before it said."""
    _noted.clear()


def say_error(error: object) -> None:
    """Prints an error to stderr."""
    typer.echo(f"exeunt: error: {error}", err=True)


def describe_transform(transform: dict[str, Any]) -> str:
    """A transform's values in one line."""
    height, width = transform["image_size"]
    rest = ", ".join(f"{key}={value}" for key, value in transform.items() if key != "image_size")
    return f"{height} x {width} pixels, {rest}"
