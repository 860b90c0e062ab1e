"""`exeunt list`."""

from __future__ import annotations

from typing import Annotated

import typer

from exeunt.cli.options import Json
from exeunt.cli.render import show_json, show_table
from exeunt.errors import ExeuntError


def networks(
    pattern: Annotated[str, typer.Argument(help="Shell pattern, such as 'rex*'.")] = "*",
    everything: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Exit heads, policies, regimes and augmentations too, and where each is from.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """List networks and the weights that ship."""
    from exeunt.models import FORM, describe_model, list_models, model_takes, shipped_weights
    from exeunt.ops.rex_block import REX_FORMS, describe_form

    names = list_models(pattern)
    others = _others(pattern) if everything else []
    if not names and not others:
        raise ExeuntError(f"nothing matches {pattern!r}; `exeunt list --all` shows all")
    shipped = shipped_weights()
    rows = []
    for name in names:
        weights = [tagged for tagged in shipped if tagged.startswith(f"{name}.")]
        rows.append((name, describe_model(name), weights))
    if json:
        for name, text, weights in rows:
            show_json({"name": name, "description": text, "weights": weights})
        for kind, name, home in others:
            show_json({"kind": kind, "name": name, "module": home})
        return
    if rows:
        show_table(
            ("network", "weights", "what it is"),
            [(name, ", ".join(weights) or "-", text) for name, text, weights in rows],
            "lll",
        )
    if any(model_takes(name, FORM) for name in names):
        typer.echo()
        show_table((FORM, "what ReX is made of"), [(f, describe_form(f)) for f in REX_FORMS], "ll")
    if others:
        show_table(("kind", "name", "from"), others, "lll")


def _others(pattern: str) -> list[tuple[str, str, str]]:
    """Kind, name and module of all that is no network, and of networks from elsewhere."""
    from fnmatch import fnmatch

    from exeunt.data import AUGMENTATIONS
    from exeunt.models import MODELS
    from exeunt.ops.exits import EXIT_HEADS
    from exeunt.policies import POLICIES
    from exeunt.registry import home_of
    from exeunt.training import REGIMES

    found = [("model", name, home) for name, home in MODELS.own().items()]
    for registry in (EXIT_HEADS, POLICIES, REGIMES, AUGMENTATIONS):
        found += [(registry.noun, name, home_of(entry)) for name, entry in registry.items()]
    return [row for row in found if fnmatch(row[1], pattern)]
