"""Options and arguments that several commands share: one spelling, one meaning."""

from __future__ import annotations

from typing import Annotated

import typer

Trained = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="Run folder, weights file, or shipped weights (`exeunt list`)."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="JSON Lines on stdout, and nothing else.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Images that go through the net at once.")]
OnePolicy = Annotated[
    str | None,
    typer.Option(
        "--policy",
        metavar="SPEC",
        show_default=False,
        help="When to leave: full, confidence:T, entropy:T, consistency:K or "
        "consistency:K,eta=X. By default the one stored with the weights.",
    ),
]
