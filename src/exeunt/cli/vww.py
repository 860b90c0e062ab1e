"""`exeunt vww`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from exeunt.cli.options import Json
from exeunt.cli.render import show_json, show_table
from exeunt.errors import ExeuntError
from exeunt.output_file import check_output
from exeunt.text import percent


class Year(StrEnum):
    Y2014 = "2014"
    Y2017 = "2017"


class Measured(StrEnum):
    BOX = "box"
    MASK = "mask"


def vww(
    coco: Annotated[
        Path,
        typer.Argument(
            metavar="COCO",
            help="Folder with annotations/instances_{train,val}YEAR.json and {train,val}YEAR/.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The list to write (CSV), to be used as DATA.")],
    area: Annotated[
        float, typer.Option(help="Share of the image that has to be exceeded.")
    ] = 0.005,
    category: Annotated[str, typer.Option(help="What to look for, one of COCO's.")] = "person",
    measure: Annotated[
        Measured,
        typer.Option(help="Take the area of boxes (the paper) or of masks (the set as published)."),
    ] = Measured.BOX,
    year: Annotated[
        Year | None, typer.Option(show_default=False, help="Needed where COCO has both.")
    ] = None,
    minival: Annotated[
        Path | None,
        typer.Option(
            show_default=False,
            help="File of image numbers: these are the test split, all others the train split. "
            "Without it, val is the test split.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """List COCO's images for Visual Wake Words: person or not.

    An image is of the category if a box of it covers more than --area of the image. No image is
    read or copied.
    """
    from exeunt.data.coco import counts, wake_words, write_list

    if out.suffix.lower() != ".csv":
        raise ExeuntError(f"--out {out}: the list is a CSV; give a name that ends in .csv")
    check_output("--out", out, [minival])
    listed = wake_words(
        coco,
        year=None if year is None else year.value,
        category=category,
        area=area,
        measure=measure.value,
        minival=minival,
    )
    write_list(listed, out)
    found = counts(listed, category)
    if json:
        for split, (images, positive) in found.items():
            show_json({"file": str(out), "split": split, "images": images, category: positive})
        return
    show_table(
        ("split", "images", category, "share"),
        [
            (split, f"{images:,}", f"{positive:,}", percent(positive / images) if images else "-")
            for split, (images, positive) in found.items()
        ],
        "lrrr",
    )
    typer.echo(f"list: {out}")
