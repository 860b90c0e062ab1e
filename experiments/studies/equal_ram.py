"""What the bytes of a small chip buy: plain and ReX networks that stream in as much RAM.

Width and image size are free. These are the ones of MobileNetV2 that need about 8, 12, 16, 24 and
36 KiB in int8, rows streamed; among those of as much RAM, the ones with more multiply-adds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.claims import Claim, above, half_interval
from harness.measure import CLASSIFICATION, classification, listed, numbers, ram_bytes
from harness.pictures import Panel
from harness.results import Row
from harness.study import Run, Scale, Study

from exeunt import Classifier
from studies.recipes import ADAMW, BETTER, CELLS, SMALL

PLAIN = ((48, 1.0), (64, 0.5), (64, 1.0), (96, 0.5), (96, 1.0), (128, 0.75))
REX = ((64, 0.75), (64, 1.0), (96, 0.5), (96, 1.0), (128, 1.0))


def _run(rex: bool, size: int, width: float) -> Run:
    name = f"{'ReX' if rex else 'plain'} {size} px, width {width}"
    settings = (CELLS if rex else ADAMW) | {"image_size": size}
    args: dict[str, Any] = {"width": width} | ({"rex_form": BETTER} if rex else {})
    model = "rex_mobilenetv2" if rex else "mobilenetv2"
    return Run(name, model, args, settings, "adamw, cells apart" if rex else "adamw")


def with_ram(clf: Classifier, data: Any, folder: Path) -> dict[str, Any]:
    """`classification`, and what the network needs of a microcontroller's RAM."""
    return classification(clf, data, folder) | {"ram_bytes": ram_bytes(clf)}


STUDY = Study(
    "equal_ram",
    "Accuracy for the RAM of a small chip",
    tuple(_run(rex, *one) for rex, some in ((True, REX), (False, PLAIN)) for one in some),
    {"small": Scale("imagenette128", SMALL | {"epochs": 16})},
    with_ram,
    (*CLASSIFICATION, "ram_bytes"),
)

PANELS = tuple(
    Panel("accuracies", "test accuracy of the last exit, %", x, label, 100, scale)
    for x, label, scale in (
        ("kib", "KiB of RAM, int8, rows streamed", 1.0),
        ("costs", "million multiply-adds", 1e-6),
    )
)


def curves(rows: Sequence[Row]) -> list[Row]:
    """One row for the plain networks and one for those with ReX, by RAM."""
    found = []
    for kind in ("ReX", "plain"):
        mine = [row for row in rows if row["run"].startswith(kind)]
        mine.sort(key=lambda row: int(row["ram_bytes"]))
        if mine:
            found.append(
                {
                    "run": kind,
                    "seed": "0",
                    "samples": mine[0]["samples"],
                    "accuracies": listed(numbers(row["exits"])[-1] for row in mine),
                    "kib": listed(int(row["ram_bytes"]) / 1024 for row in mine),
                    "costs": listed((numbers(row["macs"])[-1] for row in mine), 0),
                }
            )
    return found


def claims(rows: Sequence[Row]) -> list[Claim]:
    """ReX over plain networks, by RAM and by work."""
    by_kind = {row["run"]: row for row in curves(rows)}
    both = by_kind.get("ReX"), by_kind.get("plain")
    return [
        above(f"ReX is better at equal {what}", "", *both, x, "accuracies")
        for what, x in (("RAM", "kib"), ("multiply-adds", "costs"))
    ]


def table(rows: Sequence[Row]) -> list[str]:
    """All networks by RAM."""
    lines = ["| network | RAM, bytes | MACs | last exit, test images, % |"]
    lines.append("| --- | ---: | ---: | ---: |")
    for row in sorted(rows, key=lambda row: int(row["ram_bytes"])):
        macs, last = numbers(row["macs"])[-1] / 1e6, numbers(row["exits"])[-1]
        error = 100 * half_interval(row, last)
        lines.append(
            f"| {row['run']} | {int(row['ram_bytes']):,} | {macs:.1f} M | "
            f"{100 * last:.1f} ± {error:.1f} |"
        )
    return lines
