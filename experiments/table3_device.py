"""Table 3 of the ReX paper on a Cortex-M4: bytes and instructions of what ReX is compared with.

    python experiments/table3_device.py [WIDTH PIXELS]

MobileNetV2 of that width (035, 050, 075 or 100; 050 unless given) at that size (112), with 10
classes and six exits, each time with another operator in place of its first three groups. Weights
are random, which change neither memory nor multiply-adds. Each is exported in int8, built and run
as `microcontroller.py` does it: RAM fenced, scores bit for bit Python's. About half a minute each.
"""

from __future__ import annotations

import sys

from microcontroller import Measured, measure

CLASSES = 10
ROWS = {
    None: "none: plain MobileNetV2",
    "rex": "ReX",
    "rnnpool": "RNNPool",
    "renet": "ReNet",
    "rex_renet": "ReX and ReNet",
    "stride": "strided convolution",
    "space_to_depth": "space to depth",
    "max": "max pooling",
    "average": "average pooling",
    "mixed": "mixed pooling",
    "gated": "gated pooling",
    "gfgp": "global-feature-guided pooling",
    "lift": "LiftPool",
}
"""By `downsample` of `mobilenetv2`: what stands in for the early part."""


def row(operator: str | None, width: str, pixels: int) -> Measured:
    """What the network needs with this operator."""
    arguments = {} if operator is None else {"downsample": operator}
    return measure(f"mobilenetv2_{width}", pixels, CLASSES, arguments)


def main(width: str = "050", pixels: str = "112") -> None:
    """Prints the table as Markdown."""
    print("| early part | RAM | arena | code | constants | M MACs | M instructions | per MAC |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for operator, title in ROWS.items():
        found = row(operator, width, int(pixels))
        print(
            f"| {title} | {found.total_bytes:,} ({found.total_bytes / 1024:.1f} KiB) | "
            f"{found.arena_bytes:,} | {found.code_bytes:,} | {found.constants_bytes:,} | "
            f"{found.macs / 1e6:.1f} | {found.instructions / 1e6:.1f} | "
            f"{found.instructions / found.macs:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
