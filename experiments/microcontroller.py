"""What networks need on a Cortex-M4: RAM, flash, instructions, with ReX and without.

    python experiments/microcontroller.py [--host] [NAME:PIXELS:CLASSES[:ARGUMENTS] ...]

Each network gets random weights, which change neither memory nor multiply-adds, and int8 ranges
from random images; it is exported, built with arm-none-eabi-gcc and run by qemu-system-arm on one
image with its RAM fenced at the total printed; its scores are compared with Python's, bit for bit.
By default MobileNetV2 at the size of the ReX paper's Table 1: with ReX in two forms, and without.
About two minutes each.

ARGUMENTS are more of the network's, in JSON: {"rex_form": {"cell": "fastgrnn"}}. With
--host the C runs here, with the address sanitizer as the fence around its arena: for what the
emulated board has no room for, which are 16 MiB of constants and 4 MiB of RAM.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from exeunt.bench import RandomInt8
from exeunt.export.c import build_host, run_device, run_host
from exeunt.models import create_model

NETS = (
    'rex_mobilenetv2:224:1000:{"rex_form": "mingru_blocks2"}',
    'rex_mobilenetv2:224:1000:{"rex_form": "mingru"}',
    'rex_mobilenetv2:224:1000:{"rex_form": "paper"}',
    "mobilenetv2:224:1000",
)


@dataclass(frozen=True)
class Measured:
    """What was measured of a network.

    Attributes:
        arena_bytes: of its plan.
        window_bytes: of these, rows of the image.
        macs: multiply-adds to the last exit.
        constants_bytes: of weights, biases and tables.
        state_bytes: of the runtime; this and the rest are of a device, or 0.
        stack_bytes: the most that was used.
        total_bytes: of RAM, fenced.
        code_bytes: of the program.
        instructions: to the last exit.
    """

    arena_bytes: int
    window_bytes: int
    macs: int
    constants_bytes: int
    state_bytes: int = 0
    stack_bytes: int = 0
    total_bytes: int = 0
    code_bytes: int = 0
    instructions: int = 0


def main(words: list[str]) -> None:
    host = "--host" in words
    nets = [word for word in words if word != "--host"] or list(NETS)
    titles = ("arena", "window", "state", "stack", "align", "RAM", "KiB", "code", "constants")
    print(f"{'network':40}" + "".join(f"{title:>10}" for title in titles), end="")
    print(f"{'M MACs':>9}{'M instr.':>10}{'per MAC':>9}")
    for net in nets:
        name, pixels, classes, *more = net.split(":", 3)
        arguments = json.loads(more[0]) if more else {}
        found = measure(name, int(pixels), int(classes), arguments, host=host)
        state, stack, total = found.state_bytes, found.stack_bytes, found.total_bytes
        align = total - found.arena_bytes - state - stack if total else 0
        sizes = (found.arena_bytes, found.window_bytes, state, stack, align, total)
        spelled = " ".join((name, *(f"{key}={value}" for key, value in arguments.items())))
        print(f"{f'{spelled} at {pixels} px':40}" + "".join(f"{size:10}" for size in sizes), end="")
        print(f"{total / 1024:10.1f}{found.code_bytes:10}{found.constants_bytes:10}", end="")
        per_mac = found.instructions / found.macs
        print(f"{found.macs / 1e6:9.1f}{found.instructions / 1e6:10.1f}{per_mac:9.2f}", flush=True)


def measure(
    name: str, pixels: int, classes: int, arguments: dict[str, Any], *, host: bool = False
) -> Measured:
    """Exports a network with random weights, runs it, and compares its scores.

    Args:
        name: of the architecture.
        pixels: height and width of its image.
        classes: K.
        arguments: more of the architecture's.
        host: whether it runs here and not on the device.

    Raises:
        ExeuntError: when a score differs from Python's.
    """
    torch.manual_seed(0)
    one = RandomInt8.of(create_model(name, num_classes=classes, **arguments), pixels)
    with tempfile.TemporaryDirectory() as temporary:
        folder, raw = Path(temporary) / "net", Path(temporary) / "image.bin"
        report = one.write(name, folder, raw)
        memory, macs = report["memory"], one.graph.exit_macs[-1]
        sizes = memory["arena_bytes"], memory["row_window_bytes"], macs
        if host:
            build_host(folder, Path(temporary) / "program")
            one.check(run_host(Path(temporary) / "program", raw))
            return Measured(*sizes, report["flash"]["constants_bytes"])
        run = run_device(folder, "net", raw, 1)
    one.check(run.answers)
    return Measured(
        *sizes,
        run.weights_bytes,
        run.data_bytes - memory["arena_bytes"],
        run.stack_bytes,
        run.total_bytes,
        run.code_bytes,
        run.instructions[-1],
    )


if __name__ == "__main__":
    main(sys.argv[1:])
