"""`exeunt push` and `exeunt pull`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from exeunt.cli.options import Trained

Repository = Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Of the Hugging Face Hub.")]


def push(
    model: Trained,
    repository: Repository,
    private: Annotated[bool, typer.Option("--private", help="If it has to be made.")] = False,
) -> None:
    """Upload weights and a card to the Hugging Face Hub.

    `hf:OWNER/NAME` then is a MODEL everywhere.
    """
    from exeunt.api import load

    typer.echo(load(model).push(repository, private=private))


def pull(
    repository: Repository,
    out: Annotated[Path, typer.Option(help="File to write, such as flowers.safetensors.")],
) -> None:
    """Fetch weights from the Hugging Face Hub into a file."""
    from exeunt.api import load
    from exeunt.hub import PREFIX
    from exeunt.output_file import check_output

    check_output("--out", out)
    load(PREFIX + repository.removeprefix(PREFIX)).save(out)
    typer.echo(out)
