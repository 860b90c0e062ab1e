"""The model that ships, in int8 on an emulated device: the claims of the documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from exeunt.data import Transform
from exeunt.export.c import CModel, Int8, compare, run_device, write_c
from exeunt.export.c.boards import can_emulate
from exeunt.graph import build_graph, plan_stream
from exeunt.models import find_weights, load_weights
from exeunt.quantize import IntegerPolicy, observe_ranges, quantize, run_quantized

NAME = "rex_mobilenetv2_075.imagenette"
PHOTOGRAPH = Path(__file__).parents[2] / "docs" / "coffee.jpg"
MOST_BYTES = 28 * 1024
MOST_PER_MAC = 2.0  # instructions


@pytest.mark.slow
@pytest.mark.skipif(
    not can_emulate("cortex-m4"), reason="needs qemu-system-arm and arm-none-eabi-gcc"
)
def test_it_runs_in_28_kib_with_fewer_than_two_instructions_per_mac(
    raw: Any, tmp_path: Path
) -> None:
    net, info = load_weights(find_weights(NAME))
    transform = Transform.from_dict(info.transform)
    with Image.open(PHOTOGRAPH) as photograph:
        pixels = np.asarray(transform.pixels(photograph))[None]
    inputs = torch.stack([transform.normalise_pixels(image) for image in pixels])
    graph = build_graph(net, transform.image_size)
    quantized = quantize(graph, observe_ranges(graph, [inputs]))
    plan, numbers = plan_stream(graph, 1), Int8(quantized, IntegerPolicy())
    model = CModel("net", NAME, numbers, plan, transform, info.class_names, {})
    write_c(model, tmp_path / "net")
    run = run_device(tmp_path / "net", "net", raw(pixels), 1)
    compared = compare(run.answers, run_quantized(quantized, inputs), ["coffee"], integers=True)
    assert compared.same_bits
    assert compared.exits == len(graph.stages)
    assert run.total_bytes <= MOST_BYTES
    assert run.instructions[-1] <= MOST_PER_MAC * graph.exit_macs[-1]
