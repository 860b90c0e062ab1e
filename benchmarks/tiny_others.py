"""What others print: `docs/tiny/others.csv`."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).parent.parent / "docs" / "tiny" / "others.csv"
UNITS = {"B": 1, "kB": 1000, "KiB": 1024, "ms": 1}


@dataclass(frozen=True)
class Printed:
    """One figure of somebody else.

    Attributes:
        network: key of the network.
        who: printed it.
        quantity: `ram` or `latency`.
        value: bytes or milliseconds.
        factor: of the network's own multiply-adds that are spent.
        counted: what it is of.
        source: where it stands.
    """

    network: str
    who: str
    quantity: str
    value: float
    factor: float
    counted: str
    source: str


def printed(quantity: str, network: str | None = None) -> list[Printed]:
    """Figures of one kind, of one network or all."""
    with FILE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        Printed(
            row["network"],
            row["who"],
            row["quantity"],
            float(row["value"]) * UNITS[row["unit"]],
            float(row["factor"]),
            row["counted"],
            row["source"],
        )
        for row in rows
        if row["quantity"] == quantity and network in (None, row["network"])
    ]
