"""`exeunt profile --dial`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from exeunt.cli.render import show_json, show_table
from exeunt.graph import Graph
from exeunt.profile import DialPoint, dial_points
from exeunt.text import millions


def show_dial(
    name: str, graph: Graph, dtypes: Sequence[str], plot: Path | None, json: bool
) -> None:
    """Prints bytes against multiply-adds, and draws them for the first type of number.

    Args:
        name: of the network.
        graph: of it.
        dtypes: of the numbers.
        plot: PNG or SVG to write; None for none.
        json: whether to print JSON Lines in place of tables.
    """
    from exeunt.report.canvas import write_figure
    from exeunt.report.dial_figure import dial_figure

    found = {dtype: dial_points(graph, dtype) for dtype in dtypes}
    for dtype, settings in found.items():
        if json:
            for setting in settings:
                show_json({"kind": "dial", "model": name, **setting.to_dict()})
        else:
            _show(name, dtype, settings)
    if plot is not None:
        dtype, settings = next(iter(found.items()))
        write_figure(dial_figure(settings, f"{name}, {dtype}: memory against work"), plot)


def _show(name: str, dtype: str, settings: Sequence[DialPoint]) -> None:
    typer.echo(f"{name}, {dtype}: what fewer bytes cost, in rows and maps that are made again")
    rows = [
        (
            str(setting.arena_bytes),
            "least" if setting.arena_bytes == setting.least_bytes else str(setting.least_bytes),
            millions(setting.macs),
            f"{setting.factor:.3f}x",
            *(str(len(what)) for what in (setting.recomputed, setting.later, setting.again)),
        )
        for setting in settings
    ]
    titles = ("arena bytes", "for its order", "MACs", "of plain", "blocks", "later", "again")
    show_table(titles, rows, "rrrrrrr")
    typer.echo()
