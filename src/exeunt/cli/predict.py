"""`exeunt predict`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from exeunt.cli.options import AnEngine, BatchSize, Json, OnePolicy, TrainedOrExported
from exeunt.cli.render import figure, percent, say_error, show_json
from exeunt.errors import ExeuntError

if TYPE_CHECKING:
    from torch import Tensor

    from exeunt.cli.classifier import Classifier


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
    from exeunt.cli.classifier import open_classifier
    from exeunt.cli.images import find_images

    chosen = open_classifier(model, policy, engine, compile)
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
        for answer in answers(chosen, read, top):
            if json:
                show_json(answer)
            else:
                typer.echo(describe(answer, width, chosen.class_names))
    if unreadable:
        raise typer.Exit(1)


def _expand(names: Iterable[str]) -> Iterator[str]:
    """The names, with those on stdin in place of `-`."""
    for name in names:
        if name == "-":
            yield from (line.rstrip("\r\n") for line in sys.stdin if line.strip())
        else:
            yield name


def _read(chosen: Classifier, files: Iterable[Path]) -> Iterator[tuple[Path, Any]]:
    """The readable ones as inputs (C H W); the others are named on stderr."""
    from exeunt.data import UnreadableImage

    for file in files:
        try:
            yield file, chosen.load(file)
        except UnreadableImage as error:
            say_error(error)


def answers(chosen: Classifier, read: list[tuple[Path, Any]], top: int) -> Iterator[dict[str, Any]]:
    """Runs one batch and says, image by image, what it is and where it left.

    Yields:
        Objects for JSON Lines; exits count from 1, `macs` are what the image cost.
    """
    if not read:
        return
    all_logits, exits = chosen.run([image for _, image in read], [str(file) for file, _ in read])
    for (file, _), logits, k in zip(read, all_logits, exits.tolist(), strict=True):
        yield {
            "file": str(file),
            **_verdict(logits, chosen.class_names, top),
            "exit": k + 1,
            "exits": len(chosen.exit_macs),
            "macs": chosen.exit_macs[k],
            "full_macs": chosen.exit_macs[-1],
            "saving": 1 - chosen.exit_macs[k] / chosen.exit_macs[-1],
            "policy": chosen.policy_spec,
        }


def _verdict(logits: Tensor, class_names: list[str], top: int) -> dict[str, Any]:
    """What one row of logits (K) says: the value, or the likeliest classes."""
    if not class_names:
        return {"value": logits.item()}
    values, indices = logits.softmax(dim=0).topk(top)
    ranked = [
        {"class": class_names[index], "probability": value}
        for value, index in zip(values.tolist(), indices.tolist(), strict=True)
    ]
    return ranked[0] | ({"top": ranked} if top > 1 else {})


def describe(answer: dict[str, Any], file_width: int, class_names: list[str]) -> str:
    """An answer as a line for people, in columns."""
    if class_names:
        width = max(map(len, class_names))
        ranked = answer.get("top", [answer])
        verdict = "  ".join(
            f"{one['class']:<{width}}  {percent(one['probability']):>7}" for one in ranked
        )
    else:
        verdict = f"{figure(answer['value']):>10}"
    share = percent(answer["macs"] / answer["full_macs"])
    left = f"exit {answer['exit']} of {answer['exits']}"
    return f"{answer['file']:<{file_width}}  {verdict}  {left}  {share:>7} of the MACs"
