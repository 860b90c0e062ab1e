"""Table 2 of the ReX paper: parameters, multiply-adds and peak memory, as printed and as counted.

    python experiments/table2.py

Expected time: half a minute. No accuracy: that needs ImageNet.

Peak RAM follows the papers' rule, `exeunt.graph.paper`. "Memory-optimised" is the cost model of
`exeunt.profile.optimised`: of its cuts the one whose peak is nearest to the printed figure, and of
several such the cheapest. MACs are those of the last exit, all exits included. Parameters are
without the exits before the last, which the paper cannot have counted (DenseNet121's alone hold
14 M); those of MSDNet, which has no other form, are with them.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from published import Printed

from exeunt.graph import Graph, build_graph
from exeunt.graph.operators import Concat
from exeunt.models import create_model
from exeunt.net import MultiExitNet
from exeunt.profile import Counts, Cut
from exeunt.profile.optimised import cuts, paper_memory
from exeunt.text import aligned

IMAGE_SIZE = 224
FIGURES = (
    "parameters",
    "peak RAM",
    "MACs",
    "peak RAM, memory-optimised",
    "MACs, memory-optimised",
)


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        name: as in the paper.
        model: that stands for it here.
        printed: the figures, in the order of `FIGURES`.
        arguments: of the model.
        reasons: why a figure differs, by its name, where that is known.
    """

    name: str
    model: str
    printed: tuple[str, ...]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)


PAPER_FORM = {"rex_form": "paper"}
PRINTED_RATIOS = {"ResNet34": 7.75, "MobileNetV2": 11.5, "DenseNet121": 3.88, "MSDNet": 4.40}
NOT_SAID = "the paper does not say which MSDNet it is"
ROWS = (
    Row(
        "ResNet34",
        "resnet34",
        ("22M", "3.1MB", "3.8G", "0.7MB", "28.7G"),
        reasons={
            "peak RAM, memory-optimised": "56x56x64, or 0.7 if cut off",
            "MACs, memory-optimised": "only the first convolution lies before that cut",
        },
    ),
    Row(
        "ResNet34 + ReX",
        "rex_resnet34",
        ("20M", "0.4MB", "3.0G", "0.3MB", "3.4G"),
        PAPER_FORM,
        reasons={
            "parameters": "20M is left if conv3_x is replaced too",
            "peak RAM, memory-optimised": "28x28x128, as in the standard column, or 0.3 if cut off",
        },
    ),
    Row(
        "MobileNetV2",
        "mobilenetv2",
        ("3.4M", "2.3MB", "0.3G", "0.4MB", "1.1G"),
        reasons={
            "parameters": "3.50M is the published network's",
            "MACs, memory-optimised": "RNNPool's paper prints 1.00G",
        },
    ),
    Row(
        "MobileNetV2 + ReX",
        "rex_mobilenetv2",
        ("3.1M", "245KB", "0.24G", "0.2MB", "0.28G"),
        PAPER_FORM,
        reasons={
            "parameters": "the blocks that ReX replaces hold less than 0.1M",
            "MACs": "with shared sweeps; the paper's reading is not known",
            "MACs, memory-optimised": "the same, patch by patch",
        },
    ),
    Row(
        "DenseNet121",
        "densenet121",
        ("8M", "3.1MB", "2.8G", "1.7MB", "25.2G"),
        reasons={
            "peak RAM, memory-optimised": "28x28x512; RNNPool's paper prints 1.53MB",
            "MACs, memory-optimised": "RNNPool's paper prints 24.41G",
        },
    ),
    Row(
        "DenseNet121 + ReX",
        "rex_densenet121",
        ("7M", "0.8MB", "1.0G", "0.6MB", "1.7G"),
        PAPER_FORM,
        reasons={"peak RAM, memory-optimised": "14x14x1024 remains, behind every cut"},
    ),
    Row(
        "MSDNet",
        "msdnet_imagenet",
        ("18M", "2.2MB", "0.64G", "0.9MB", "17.5G"),
        {"base": 4, "step": 2, "blocks": 6},
        dict.fromkeys(FIGURES, NOT_SAID),
    ),
    Row(
        "MSDNet + ReX",
        "rex_msdnet",
        ("12.7M", "0.5MB", "0.28G", "0.4MB", "0.39G"),
        PAPER_FORM,
        reasons=dict.fromkeys(FIGURES, NOT_SAID),
    ),
)


def parameters(net: MultiExitNet, *, all_exits: bool) -> int:
    """Of a whole net, or without the exits before the last."""
    inner = sum(p.numel() for stage in net.stages[:-1] for p in stage.exit.parameters())
    return sum(p.numel() for p in net.parameters()) - (0 if all_exits else inner)


def all_scales_bytes(graph: Graph) -> int:
    """Another rule for MSDNet: all maps that a layer reads, at every scale, and what it adds."""
    layers: dict[int, dict[str, int]] = defaultdict(dict)
    for block, group in groupby(graph.nodes, key=lambda node: node.block):
        nodes = list(group)
        match = re.search(r"scale\d+_layer(\d+)$", block)
        concat = next((node for node in nodes if isinstance(node.operator, Concat)), None)
        if match is None or concat is None:
            continue
        made = {node.output for node in nodes}
        read = {name for node in nodes for name in node.inputs} - made
        held = layers[int(match[1])]
        held |= {name: graph.elements(name) for name in read}
        held[block] = graph.elements(concat.output) - graph.elements(concat.inputs[0])
    return 4 * max(sum(held.values()) for held in layers.values())


def worthwhile(found: Iterable[Cut]) -> Iterator[Cut]:
    """The cuts that no other beats in both memory and multiply-adds, cheapest first."""
    least = math.inf
    for cut in sorted(found, key=lambda cut: (cut.macs, cut.size_bytes)):
        if cut.size_bytes < least:
            least = cut.size_bytes
            yield cut


def main() -> None:
    """Prints the table, and below it what explains it."""
    lines: list[list[str]] = []
    notes: list[tuple[str, str]] = []
    peaks: dict[str, int] = {}
    for row in ROWS:
        net = create_model(row.model, 1000, **row.arguments)
        graph = build_graph(net, IMAGE_SIZE)
        printed = [Printed(text) for text in row.printed]
        found = cuts(graph, 4)
        looked_for = printed[3].value
        cut = min(found, key=lambda cut: (abs(cut.size_bytes - looked_for), cut.macs))
        peaks[row.name] = paper_memory(graph, "float32").total_bytes
        ours = (
            parameters(net, all_exits="msdnet" in row.model),
            peaks[row.name],
            graph.exit_macs[-1],
            cut.size_bytes,
            cut.macs,
        )
        for k, (figure, theirs, value) in enumerate(zip(FIGURES, printed, ours, strict=True)):
            verdict = theirs.verdict(value, row.reasons.get(figure, ""))
            name = "" if k else row.name
            lines.append([name, figure, theirs.text, theirs.ours(value), theirs.ratio(value)])
            lines[-1].append(verdict)
        ways = (f"{c.size_bytes / 2**20:.3f}MB at {c.macs / 1e9:.3f}G" for c in worthwhile(found))
        notes.append((f"{row.name}: cuts that pay", ", ".join(ways)))
        counts = Counts.of(graph)
        if counts.per_patch_exits[-1] != counts.total:
            macs = f"{counts.per_patch_exits[-1] / 1e9:.3f}G"
            notes.append((f"{row.name}: MACs if ReX went patch by patch", macs))
        if "msdnet" in row.model:
            size = f"{all_scales_bytes(graph) / 2**20:.3f}MB"
            notes.append((f"{row.name}: all maps that a layer reads, and what it adds", size))
    titles = ("network", "figure", "paper", "ours", "ratio", "verdict")
    print(*aligned([titles, *lines], "llrrrl"), sep="\n")
    for name, printed_ratio in PRINTED_RATIOS.items():
        ratio = f"{peaks[name] / peaks[f'{name} + ReX']:.2f}; the paper says {printed_ratio}"
        notes.append((f"{name}: peak RAM without ReX over that with it", ratio))
    print()
    print(*aligned(notes, "ll"), sep="\n")


if __name__ == "__main__":
    main()
