"""`exeunt verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from exeunt.cli.options import AnEngine, Json, Split
from exeunt.cli.render import show_facts, show_json, show_table
from exeunt.text import millions, percent, short_spec


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
    from exeunt.verification import verify as run

    facts = run(
        folder,
        images,
        device=device,
        operators=operators,
        limit=limit,
        split=split,
        weights=weights,
        engine=engine,
    )
    if json:
        show_json({"kind": "verified", "folder": str(folder), **facts})
    elif "largest_difference" in facts:
        _show_onnx(folder, facts)
    else:
        _show_c(folder, device, facts)


def _show_c(folder: Path, device: str | None, facts: dict[str, Any]) -> None:
    """Prints what `verify_c` found."""
    where = f"{device} (emulated)" if device else "this machine, with sanitizers"
    same = "all the same, to the bit" if facts["same_bits"] else "within 1e-4 of the largest"
    show_facts(
        [
            ("verified", f"{folder} on {where}"),
            ("images", f"{facts['images']}, at {facts['exits']} exits each"),
            ("scores", f"{same} as Python's ({facts['dtype']})"),
            ("accuracy by exit", ", ".join(map(percent, facts["exit_accuracy"]))),
            ("with the policy", f"{percent(facts['accuracy'])}, saving {percent(facts['saving'])}"),
            *(ram_and_flash(facts) if device else []),
        ]
    )
    if device:
        _show_instructions(facts)


def ram_and_flash(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Lines that tell them."""
    parts = {name.removesuffix("_bytes"): size for name, size in facts["memory"].items()}
    total, window = parts.pop("total"), parts.pop("row_window")
    rows = [(f"  {name}", f"{size} bytes") for name, size in parts.items()]
    rows[0] = ("  arena", f"{parts['arena']} bytes, {window} of them rows of the image")
    flash = facts["flash"]
    return [
        ("RAM", f"{total} bytes ({total / 1024:.1f} KiB), fenced"),
        *rows,
        ("flash", f"code {flash['code_bytes']} bytes, constants {flash['weights_bytes']}"),
    ]


def _show_instructions(facts: dict[str, Any]) -> None:
    """Prints them by exit and, where they were counted, by operator."""
    typer.echo("")
    rows = []
    for k, count in enumerate(facts["exit_instructions"]):
        macs = facts["exit_macs"][k]
        rows.append((str(k + 1), millions(macs), millions(count), f"{count / macs:.2f}"))
    show_table(("exit", "MACs", "instructions", "per MAC"), rows, "rrrr")
    mean = facts["mean_instructions"]
    typer.echo(f"with the policy {millions(mean)} instructions an image; no cycles are known")
    if "operators" not in facts:
        return
    typer.echo("")
    whole = sum(row["instructions"] for row in facts["operators"])
    by_kind = [
        (
            f"{row['operator']} ({row['count']})",
            millions(row["macs"]),
            millions(row["instructions"]),
            percent(row["instructions"] / whole),
            f"{row['instructions'] / row['macs']:.2f}" if row["macs"] else "",
        )
        for row in facts["operators"]
    ]
    show_table(("operator", "MACs", "instructions", "share", "per MAC"), by_kind, "lrrrr")


def _show_onnx(folder: Path, facts: dict[str, Any]) -> None:
    """Says what came out, for people."""
    lines = [
        ("verified", f"{folder} ({facts['dtype']}) beside PyTorch"),
        ("images", f"{facts['images']}, at {facts['exits']} exits each"),
        ("scores", f"at most {facts['largest_difference']:.2g} apart"),
        ("same exit and class", f"{percent(facts['same'])} of the images"),
        ("policy", short_spec(facts["policy"])),
    ]
    if facts["single_same"] is not None:
        lines.insert(-1, ("  by one graph", f"{percent(facts['single_same'])} of the images"))
    if facts["ties"]:
        lines.append(("  on the edge", ", ".join(facts["ties"])))
    if facts["dtype"] != "float32":
        lines.append(("  same class", ", ".join(map(percent, facts["exit_agreement"]))))
    if "accuracy" in facts:
        lines += [
            ("accuracy by exit", ", ".join(map(percent, facts["exit_accuracy"]))),
            ("with the policy", f"{percent(facts['accuracy'])}, saving {percent(facts['saving'])}"),
        ]
    show_facts(lines)
