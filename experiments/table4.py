"""Table 4 of the ReX paper: multiply-adds and peak memory of ReX's variants.

    python experiments/table4.py

Expected time: half a minute. No accuracy: that needs ImageNet.

Each variant is the network of Table 1 with another ReX layer. Peak RAM follows the papers' rule,
`exeunt.graph.paper`. MACs are counted with shared sweeps, as the library computes ReX, and patch by
patch.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from published import Printed
from torch import nn

from exeunt.backbone import attach_exits
from exeunt.chain import taps_by_rule
from exeunt.graph import build_graph
from exeunt.models.mobilenetv2 import GROUPS, REPLACED_GROUPS
from exeunt.net import MultiExitNet
from exeunt.ops.conv import ConvNormAct, InvertedResidual
from exeunt.ops.rex import ReX2d
from exeunt.profile import Counts
from exeunt.profile.optimised import paper_memory
from exeunt.text import aligned

IMAGE_SIZE, CLASSES = 224, 1000
USUAL = {"hidden1": 16, "hidden2": 8, "patch_size": 6, "stride": 4}


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


def variant(change: Mapping[str, Any]) -> MultiExitNet:
    """The network of Table 1 with another ReX."""
    rex = ReX2d(32, **{**USUAL, **change})
    blocks: list[tuple[str, nn.Module]] = [("stem", ConvNormAct(3, 32, 3, stride=2)), ("rex", rex)]
    channels = rex.out_channels
    for expansion, out, count, stride in GROUPS[REPLACED_GROUPS:]:
        for b in range(count):
            block = InvertedResidual(channels, out, 1 if b else stride, expansion)
            blocks.append((f"block{len(blocks) - 1}", block))
            channels = out
    blocks.append(("head", ConvNormAct(channels, 1280)))
    counts = [range(count) for _, _, count, _ in GROUPS[REPLACED_GROUPS:]]
    taps = [2 + place for place in taps_by_rule(counts, 0)]
    backbone = nn.Sequential(OrderedDict(blocks))
    return attach_exits(backbone, taps, CLASSES, image_shape=(3, IMAGE_SIZE, IMAGE_SIZE))


def main() -> None:
    """Prints the table."""
    lines = []
    for row in ROWS:
        graph = build_graph(variant(row.change), IMAGE_SIZE)
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
