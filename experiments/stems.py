"""What a ReX stem in place of a network's early part takes away, before anything is trained.

    python experiments/stems.py
    python experiments/stems.py mobilenetv2:224:1 mobilenetv2:224:group2_block2

For each NETWORK:PIXELS:AT, with 1000 classes: multiply-adds to the last exit, and the bytes of RAM
that int8 needs row by row and in whole maps, of the network as it is and with the stem.
"""

from __future__ import annotations

import sys

from exeunt import create_model
from exeunt.graph import build_graph
from exeunt.profile.planned import layerwise_memory, streamed_memory
from exeunt.rex_stem import CHILD

SHOWN = (
    *("mobilenetv2:224:group2_block2", "mobilenetv2:224:1", "efficientnet_lite0:224:1"),
    *("efficientnet_lite2:260:1", "mobilenetv1:224:1", "mobilenetv1:224:3", "resnet34:224:1"),
)


def main(wanted: list[str]) -> None:
    print("| network, px | early part ends at | M multiply-adds | streamed RAM | whole maps |")
    print("| --- | --- | ---: | ---: | ---: |")
    for text in wanted or SHOWN:
        name, pixels, at = text.split(":")
        place = int(at) if at.isdecimal() else at
        before = _costs(name, int(pixels), {})
        after = _costs(name, int(pixels), {CHILD: place})
        cells = [f"{a:,} -> {b:,}" for a, b in zip(before, after, strict=True)]
        shown = f"exit {at}" if at.isdecimal() else f"`{at}`"
        print(f"| {name}, {pixels} | {shown} | {' | '.join(cells)} |", flush=True)


def _costs(name: str, pixels: int, arguments: dict[str, int | str]) -> tuple[float, int, int]:
    net = create_model(name, num_classes=1000, **arguments).eval()  # type: ignore[arg-type]
    graph = build_graph(net, (pixels, pixels))
    return (
        round(net.exit_info(pixels)[-1].macs / 1e6, 1),
        streamed_memory(graph, "int8").total_bytes,
        layerwise_memory(graph, "int8").total_bytes,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
