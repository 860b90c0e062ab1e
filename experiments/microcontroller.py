"""What networks need on a Cortex-M4: RAM, flash, instructions, with ReX and without.

    python experiments/microcontroller.py [NAME:PIXELS:CLASSES[:FORM] ...]

Each network gets random weights, which change neither memory nor multiply-adds, and int8 ranges
from random images; it is exported, built with arm-none-eabi-gcc and run by qemu-system-arm on one
image with its RAM fenced at the total printed; its scores are compared with Python's, bit for bit.
By default the nets of the ReX paper's Table 1, with ReX and without. About two minutes each.

FORM is what differs from the paper's form of ReX, in JSON: {"cell": "mingru", "norm": true}.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from exeunt.bench import set_batch_statistics
from exeunt.data import Transform
from exeunt.export.c import CModel, Int8, compare, run_device, write_c
from exeunt.graph import build_graph, plan_stream
from exeunt.models import create_model
from exeunt.quantize import IntegerPolicy, observe_ranges, quantize, run_quantized

NETS = ("rex_mobilenetv2:224:1000", "mobilenetv2:224:1000")


def main(nets: list[str]) -> None:
    print(
        f"{'network':28}{'arena':>8}{'window':>8}{'state':>7}{'stack':>7}{'align':>7}{'RAM':>8}{'KiB':>7}"
        f"{'code':>8}{'constants':>11}{'M MACs':>9}{'M instr.':>10}{'per MAC':>9}"
    )
    for net in nets:
        name, pixels, classes, *form = net.split(":", 3)
        arguments = {"rex_form": json.loads(form[0])} if form else {}
        measure(name, int(pixels), int(classes), arguments)


def measure(name: str, pixels: int, classes: int, arguments: dict[str, Any]) -> None:
    torch.manual_seed(0)
    net = create_model(name, num_classes=classes, **arguments)
    set_batch_statistics(net, torch.randn(4, 3, pixels, pixels))
    graph = build_graph(net, pixels)
    transform = Transform((pixels, pixels))
    image = np.random.default_rng(0).integers(0, 256, (pixels, pixels, 3), dtype=np.uint8)
    x = transform.normalise_pixels(image)[None]
    quantized = quantize(graph, observe_ranges(graph, [x], "minmax"))
    plan = plan_stream(graph, 1)
    classes_named = [str(k) for k in range(classes)]
    numbers = Int8(quantized, IntegerPolicy())
    model = CModel("net", name, numbers, plan, transform, classes_named, {})
    with tempfile.TemporaryDirectory() as temporary:
        folder, raw = Path(temporary) / "net", Path(temporary) / "image.bin"
        report = write_c(model, folder)
        raw.write_bytes(image.tobytes())
        run = run_device(folder, "net", raw, 1)
        compare(run.answers, run_quantized(quantized, x), ["image"], integers=True)
    memory, macs = report["memory"], graph.exit_macs[-1]
    print(
        f"{f'{name} at {pixels} px':28}{memory['arena_bytes']:8}{memory['row_window_bytes']:8}"
        f"{run.data_bytes - memory['arena_bytes']:7}{run.stack_bytes:7}"
        f"{run.total_bytes - run.data_bytes - run.stack_bytes:7}{run.total_bytes:8}"
        f"{run.total_bytes / 1024:7.1f}{run.code_bytes:8}{run.weights_bytes:11}{macs / 1e6:9.1f}"
        f"{run.instructions[-1] / 1e6:10.1f}{run.instructions[-1] / macs:9.2f}"
    )


if __name__ == "__main__":
    main(sys.argv[1:] or list(NETS))
