"""`exeunt verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from exeunt.cli.options import AnEngine, Engine, Json, Split
from exeunt.cli.render import show_json
from exeunt.errors import ExeuntError


def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of `exeunt export`.")],
    images: Annotated[Path, typer.Option(metavar="DATA", help="Labelled images to run on.")],
    device: Annotated[
        str | None,
        typer.Option(
            show_default=False,
            help="Run on an emulated device: cortex-m4, cortex-m7 or cortex-m3. Otherwise here.",
        ),
    ] = None,
    operators: Annotated[
        bool,
        typer.Option("--operators", help="On a device: what each kind of operator takes, too."),
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            show_default=False,
            help="So many images [64; on a device 4; all for ONNX].",
        ),
    ] = None,
    split: Annotated[Split, typer.Option(help="Of DATA.")] = Split.TEST,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            show_default=False,
            help="What an ONNX folder was made of; by default what it says itself.",
        ),
    ] = None,
    engine: AnEngine = None,
    json: Json = False,
) -> None:
    """Run an exported network on images, and compare every exit with Python.

    C is built for this machine, with sanitizers. On a device its RAM is fenced at what it claims:
    arena, state and the stack that it was seen to use; what it reaches beyond ends it.

    ONNX files run with their policy beside PyTorch. In float32 scores must be the same within
    1e-4, and images on the edge of a decision are named; in int8 it is said how often they agree.
    """
    from exeunt.cli.exported import is_exported

    if is_exported(folder):
        from exeunt.cli import verify_onnx as onnx

        if device is not None:
            raise ExeuntError(f"--device {device}: {folder} holds ONNX files, which run here")
        if operators:
            raise ExeuntError(f"--operators is for folders of C; {folder} holds ONNX files")
        chosen = (engine or Engine.ONNXRUNTIME).value
        facts = onnx.verify_onnx(folder, weights, images, limit, split, chosen)
        if json:
            show_json({"kind": "verified", "folder": str(folder), **facts})
        else:
            onnx.show_verified(folder, facts)
        return
    if weights is not None or engine is not None:
        raise ExeuntError(f"--weights and --engine are for ONNX folders; {folder} is none")
    if operators and device is None:
        raise ExeuntError("--operators counts instructions on a device; give --device too")
    from exeunt.cli.verify_c import show_verified, verify_c

    facts = verify_c(folder, images, device, limit, split, operators)
    if json:
        show_json({"kind": "verified", "folder": str(folder), **facts})
    else:
        show_verified(folder, device, facts)
