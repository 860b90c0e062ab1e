"""Table 4 of the ReX paper: multiply-adds and peak memory of ReX's variants.

    python experiments/table4.py

Expected time: half a minute. No accuracy: that needs ImageNet.

Each variant is the network of Table 1 with another ReX layer. Peak RAM follows the papers' rule,
`exeunt.graph.paper`. MACs are counted with shared sweeps, as the library computes ReX, and patch by
patch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from published import Printed

from exeunt.graph import build_graph
from exeunt.models.mobilenetv2 import rex_mobilenetv2
from exeunt.profile import Counts
from exeunt.profile.optimised import paper_memory
from exeunt.text import aligned

IMAGE_SIZE, CLASSES = 224, 1000


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        name: as in the paper.
        change: to ReX.
        macs: as printed.
        ram: as printed.
        reason: why the printed RAM is not what the rule gives.
    """

    name: str
    change: Mapping[str, Any]
    macs: str
    ram: str
    reason: str = ""


ROWS = (
    Row("stride 6", {"stride": 6}, "0.19G", "0.1MB"),
    Row("patch 4x4", {"patch_size": 4}, "0.23G", "0.2MB"),
    Row("patch 12x12", {"patch_size": 12}, "0.26G", "0.2MB"),
    Row(
        "hidden sizes 8, 8",
        {"hidden1": 8},
        *("0.21G", "0.1MB"),
        "8 * h2 is still 64 channels",
    ),
    Row("hidden sizes 16, 16", {"hidden2": 16}, "0.28G", "0.4MB"),
    Row("without V^G", {"use_global": False}, "0.21G", "0.1MB"),
    Row("without V^R", {"use_rows": False}, "0.22G", "0.1MB", "0.19 cut off, not rounded"),
    Row("without V^C", {"use_cols": False}, "0.22G", "0.1MB", "0.19 cut off, not rounded"),
    Row("Table 1", {}, "0.24G", "0.2MB"),
)


def main() -> None:
    """Prints the table."""
    lines = []
    for row in ROWS:
        graph = build_graph(rex_mobilenetv2(CLASSES, rex_form=row.change), IMAGE_SIZE)
        counts = Counts.of(graph)
        macs, ram = Printed(row.macs), Printed(row.ram)
        size = paper_memory(graph, "float32").total_bytes
        lines.append(
            [
                row.name,
                macs.text,
                macs.ours(counts.total),
                macs.ratio(counts.total),
                macs.ours(counts.per_patch_exits[-1]),
                ram.text,
                ram.ours(size),
                ram.ratio(size),
                ram.verdict(size, row.reason),
            ]
        )
    titles = ("ReX", "MACs, paper", "shared", "ratio", "by patch", "RAM, paper", "ours", "ratio")
    print(*aligned([(*titles, "verdict on RAM"), *lines], "lrrrrrrrl"), sep="\n")


if __name__ == "__main__":
    main()
