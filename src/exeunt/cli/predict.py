"""`exeunt predict`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from exeunt.cli.options import AnEngine, BatchSize, Json, OnePolicy, TrainedOrExported
from exeunt.cli.render import say_error, show_json
from exeunt.errors import ExeuntError
from exeunt.text import figure, percent

if TYPE_CHECKING:
    from exeunt.predictor import Answer, Predictor


def predict(
    model: TrainedOrExported,
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...", help="Files, folders, or `-` for a list of them on stdin."
        ),
    ],
    policy: OnePolicy = None,
    top: Annotated[int, typer.Option(min=1, help="Classes to name, the likeliest first.")] = 1,
    batch_size: BatchSize = 16,
    engine: AnEngine = None,
    compile: Annotated[
        bool,
        typer.Option(
            "--compile",
            help="Run weights as torch.compile makes them, one image at a time: it takes a minute "
            "or more to start.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Classify images, stopping early.

    Each image leaves the network at the first exit that the policy accepts. An image that cannot
    be read is named on stderr, the others go on, and the exit status is 1.
    """
    from exeunt.data.named_images import find_images
    from exeunt.predictor import answers, open_predictor

    chosen = open_predictor(model, policy, engine, compile)
    outputs = max(1, len(chosen.class_names))
    if top > outputs:
        raise ExeuntError(f"--top {top}: the network has {outputs} output(s)")
    files = find_images(_expand(images))
    width = max(len(str(file)) for file in files)
    unreadable = 0
    for start in range(0, len(files), batch_size):
        chunk = files[start : start + batch_size]
        read = list(_read(chosen, chunk))
        unreadable += len(chunk) - len(read)
        for answer in answers(chosen, [x for _, x in read], top, [file for file, _ in read]):
            if json:
                show_json(answer.to_dict())
            else:
                typer.echo(_describe(answer, width, chosen.class_names))
    if unreadable:
        raise typer.Exit(1)


def _expand(names: Iterable[str]) -> Iterator[str]:
    """The names, with those on stdin in place of `-`."""
    for name in names:
        if name == "-":
            yield from (line.rstrip("\r\n") for line in sys.stdin if line.strip())
        else:
            yield name


def _read(chosen: Predictor, files: Iterable[Path]) -> Iterator[tuple[Path, Any]]:
    """The readable ones as inputs (C H W); the others are named on stderr."""
    from exeunt.data import UnreadableImage

    for file in files:
        try:
            yield file, chosen.load(file)
        except UnreadableImage as error:
            say_error(error)


def _describe(answer: Answer, file_width: int, class_names: list[str]) -> str:
    """An answer as a line for people, in columns."""
    if answer.value is None:
        width = max(map(len, class_names))
        verdict = "  ".join(f"{name:<{width}}  {percent(share):>7}" for name, share in answer.top)
    else:
        verdict = f"{figure(answer.value):>10}"
    share = percent(answer.macs / answer.full_macs)
    left = f"exit {answer.exit} of {answer.exits}"
    return f"{answer.file:<{file_width}}  {verdict}  {left}  {share:>7} of the MACs"
