"""`exeunt list`."""

from __future__ import annotations

from typing import Annotated

import typer

from exeunt.cli.options import Json
from exeunt.cli.render import show_json, show_table
from exeunt.errors import ExeuntError


def networks(
    pattern: Annotated[str, typer.Argument(help="Shell pattern, such as 'rex*'.")] = "*",
    json: Json = False,
) -> None:
    """List networks and the weights that ship."""
    from exeunt.models import describe_model, list_models, shipped_weights

    names = list_models(pattern)
    if not names:
        raise ExeuntError(f"no network matches {pattern!r}; `exeunt list` shows all")
    shipped = shipped_weights()
    rows = []
    for name in names:
        weights = [tagged for tagged in shipped if tagged.startswith(f"{name}.")]
        rows.append((name, describe_model(name), weights))
    if json:
        for name, text, weights in rows:
            show_json({"name": name, "description": text, "weights": weights})
        return
    show_table(
        ("network", "weights", "what it is"),
        [(name, ", ".join(weights) or "-", text) for name, text, weights in rows],
        "lll",
    )
