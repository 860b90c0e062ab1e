"""`exeunt verify`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exeunt.cli.options import AnEngine, Json, Split
from exeunt.cli.render import show_facts, show_json, show_table
from exeunt.text import millions, percent, short_spec

if TYPE_CHECKING:
    from exeunt.verification import CVerification, OnnxVerification


def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of `exeunt export`.")],
    images: Annotated[Path, typer.Option(metavar="DATA", help="Labelled images to run on.")],
    device: Annotated[
        str | None,
        typer.Option(
            show_default=False,
            help="Run on an emulated cortex-m0, -m3, -m4, -m7, -m33, -m55 or riscv32.",
        ),
    ] = None,
    operators: Annotated[
        bool,
        typer.Option("--operators", help="On a device: what each kind of operator takes, too."),
    ] = False,
    cycles: Annotated[
        bool,
        typer.Option("--cycles", help="On a device: estimated cycles, time and energy, too."),
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
    from exeunt.verification import OnnxVerification
    from exeunt.verification import verify as run

    found = run(
        folder,
        images,
        device=device,
        operators=operators,
        cycles=cycles,
        limit=limit,
        split=split,
        weights=weights,
        engine=engine,
    )
    if json:
        show_json({"kind": "verified", "folder": str(folder), **found.to_dict()})
    elif isinstance(found, OnnxVerification):
        _show_onnx(folder, found)
    else:
        _show_c(folder, device, found)


def _show_c(folder: Path, device: str | None, found: CVerification) -> None:
    """Prints what `verify_c` found."""
    where = f"{device} (emulated)" if device else "this machine, with sanitizers"
    same = "all the same, to the bit" if found.same_bits else "within 1e-4 of the largest"
    told, by_exit, mine = found.worth
    show_facts(
        [
            ("verified", f"{folder} on {where}"),
            ("images", f"{found.images}, at {found.exits} exits each"),
            ("scores", f"{same} as Python's ({found.dtype})"),
            (f"{told} by exit", by_exit),
            ("with the policy", f"{mine}, saving {percent(found.saving)}"),
            *(ram_and_flash(found.memory, found.flash) if found.memory and found.flash else []),
        ]
    )
    if found.exit_instructions is not None and found.mean_instructions is not None:
        _show_instructions(found, found.exit_instructions, found.mean_instructions)


def ram_and_flash(memory: dict[str, int], flash: dict[str, int]) -> list[tuple[str, str]]:
    """Lines that tell them."""
    parts = {name.removesuffix("_bytes"): size for name, size in memory.items()}
    total, window = parts.pop("total"), parts.pop("row_window")
    rows = [(f"  {name}", f"{size} bytes") for name, size in parts.items()]
    rows[0] = ("  arena", f"{parts['arena']} bytes, {window} of them rows of the image")
    return [
        ("RAM", f"{total} bytes ({total / 1024:.1f} KiB), fenced"),
        *rows,
        ("flash", f"code {flash['code_bytes']} bytes, constants {flash['weights_bytes']}"),
    ]


def _show_instructions(found: CVerification, by_exit: Sequence[float], mean: float) -> None:
    """Prints them by exit, cycles and operators where they were asked for."""
    from exeunt.cycles import cycle_table

    typer.echo("")
    rows = []
    for k, count in enumerate(by_exit):
        macs = found.exit_macs[k]
        rows.append((str(k + 1), millions(macs), millions(count), f"{count / macs:.2f}"))
    show_table(("exit", "MACs", "instructions", "per MAC"), rows, "rrrr")
    typer.echo(f"with the policy {millions(mean)} instructions an image")
    if found.cycles is not None:
        header, estimated, notes = cycle_table(found.cycles)
        typer.echo("")
        show_table(header, estimated, "r" * len(header))
        typer.echo("\n".join(notes))
    if found.operators is None:
        return
    typer.echo("")
    whole = sum(row["instructions"] for row in found.operators)
    by_kind = [
        (
            f"{row['operator']} ({row['count']})",
            millions(row["macs"]),
            millions(row["instructions"]),
            percent(row["instructions"] / whole),
            f"{row['instructions'] / row['macs']:.2f}" if row["macs"] else "",
        )
        for row in found.operators
    ]
    show_table(("operator", "MACs", "instructions", "share", "per MAC"), by_kind, "lrrrr")


def _show_onnx(folder: Path, found: OnnxVerification) -> None:
    """Says what came out, for people."""
    lines = [
        ("verified", f"{folder} ({found.dtype}) beside PyTorch"),
        ("images", f"{found.images}, at {found.exits} exits each"),
        ("scores", f"at most {found.largest_difference:.2g} apart"),
        ("same exit and class", f"{percent(found.same)} of the images"),
        ("policy", short_spec(found.policy)),
    ]
    if found.single_same is not None:
        lines.insert(-1, ("  by one graph", f"{percent(found.single_same)} of the images"))
    if found.borderline:
        lines.append(("  on the edge", ", ".join(found.borderline)))
    if found.dtype != "float32":
        lines.append(("  same class", ", ".join(map(percent, found.exit_agreement))))
    if found.accuracy is not None and found.exit_accuracy is not None:
        lines += [
            ("accuracy by exit", ", ".join(map(percent, found.exit_accuracy))),
            ("with the policy", f"{percent(found.accuracy)}, saving {percent(found.saving)}"),
        ]
    show_facts(lines)
