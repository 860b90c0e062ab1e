"""What `tiny.py` measures: RAM, instructions, plans, and TFLite Micro's arena beside them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import arena
import neon
import tiny_nets
import torch
from tiny_goals import CELLS, ON_AARCH64, ON_PROCESSORS
from tiny_networks import NETWORKS, SHIPPED, Network, of_cell

from exeunt.bench import RandomInt8
from exeunt.cycles import PARTS, estimate_run, exit_cycles
from exeunt.export.c.boards import BOARDS
from exeunt.export.c.device import build_fenced, run_program
from exeunt.graph import Graph, StreamedPlan, build_graph, dial, plan_stream
from exeunt.models import create_model, default_image_size
from exeunt.profile.planned import layerwise_memory
from exeunt.quantize import QuantizedGraph

DEVICE = "cortex-m4"
EFFORT = 1_000_000  # of placing each plan of a dial, of which there are dozens
KEPT = ("ram_bytes", "code_bytes", "instructions", "cycles", "macs")  # of other devices
KEYWORD = next(network for network in NETWORKS if network.key == "mobilenetv1_025@96")
"""MLPerf Tiny's net for visual wake words, which every device runs."""
NEON_PIXELS = 112
EXITS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("resnet8", {"exits": [0]}),
    ("resnet8", {}),
    ("mobilenetv1_025", {}),
)


def measure(patterns: list[str], kept: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """All figures, or those whose names match; each time one is new, its name and all of them.

    Args:
        patterns: of names: a network's key, `dial:NAME`, `exits:NAME`, `devices:NAME`,
            `cells:NAME`, `neon:NAME`, `zoo:NAME` or `processors`.
        kept: what there is; new figures take the place of old ones.
    """
    for name, part, key, make in _tasks():
        if not patterns or any(fnmatch(name, pattern) for pattern in patterns):
            kept.setdefault(part, {})[key] = make()
            yield name, kept


def _tasks() -> Iterator[tuple[str, str, str, Callable[[], Any]]]:
    for network in NETWORKS:
        yield network.key, "networks", network.key, lambda network=network: on_device(network)
    for name in tiny_nets.NETS:
        yield f"dial:{name}", "dial", name, lambda name=name: dialled(name)
    for name, arguments in EXITS:
        key = arena.spelled(name, arguments)
        yield (
            *(f"exits:{name}", "exits", key),
            lambda name=name, arguments=arguments: with_exits(name, arguments),
        )
    for device in BOARDS:
        yield (
            *(f"devices:{device}", "devices", device),
            lambda device=device: kept_of(KEYWORD, device),
        )
    for cell in CELLS:
        yield f"cells:{cell}", "cells", cell, lambda cell=cell: kept_of(of_cell(cell))
    for name in ON_AARCH64:
        yield f"neon:{name}", "neon", name, lambda name=name: on_aarch64(name)
    for name, arguments, size in arena.networks():
        key = arena.spelled(name, arguments)
        yield (
            *(f"zoo:{name}", "zoo", key),
            lambda name=name, arguments=arguments, size=size: planned(name, arguments, size),
        )
    yield "processors", "processors", "of onnxruntime", on_processor


def on_device(network: Network, device: str = DEVICE) -> dict[str, Any]:
    """RAM, fenced, instructions and estimated cycles of a network on an emulated device; its scores
    are Python's.
    """
    torch.manual_seed(0)
    trained = network.group == SHIPPED
    one = RandomInt8.of(network.build(), network.pixels, trained=trained)
    with tempfile.TemporaryDirectory() as temporary:
        folder, raw = Path(temporary) / "net", Path(temporary) / "image.bin"
        one.write(network.title, folder, raw)
        program = build_fenced(folder, "net", raw, Path(temporary), device)
        run = run_program(program, raw, 1)
        between = estimate_run(program, raw, 1, device) if device in PARTS else []
    one.check(run.answers)
    graph, plan = one.graph, one.plan
    estimates = exit_cycles(between, len(graph.exit_macs))
    found = {
        "macs": list(graph.exit_macs),
        "arena_bytes": plan.arena_bytes,
        "window_bytes": plan.window_bytes,
        "least_bytes": plan.least_bytes,
        "bound_bytes": plan.bound_bytes,
        "layerwise_bytes": layerwise_memory(graph, "int8").total_bytes,
        "image_bytes": one.picture.nbytes,
        "ram_bytes": run.total_bytes,
        "stack_bytes": run.stack_bytes,
        "code_bytes": run.code_bytes,
        "constants_bytes": run.weights_bytes,
        "instructions": list(run.instructions),
        "cycles": [round(one.cycles) for one in estimates],
        "waiting": [round(one.waiting) for one in estimates],
    }
    if device == DEVICE:
        found["tflm"] = in_tflm(one.quantized)
    return found


def in_tflm(quantized: QuantizedGraph) -> dict[str, int] | None:
    """TFLite Micro's arena for the same integers, as its recording allocator says: `head`, its
    tensors, and `tail`; None for a net that has no form there, or several exits.

    Of the two ways to write a net (see `tflm_file.py`), the one with the smaller head counts.
    """
    import tflm
    from tflm_file import write_tflite

    from exeunt.errors import ExeuntError

    found = []
    for mirrored in (True, False):
        try:
            arena_of = tflm.recorded(write_tflite(quantized, mirrored=mirrored))
        except ExeuntError:
            continue
        found.append({part: arena_of[part] for part in ("head", "tail")})
    return min(found, key=lambda sizes: sizes["head"]) if found else None


def dialled(name: str) -> dict[str, list[list[float]]]:
    """Bytes and factors of the dial of one of msf-CNN's networks, with and without the image."""
    size, blocks = tiny_nets.blocks_of(name)
    graph = build_graph(tiny_nets.with_exits(blocks, []), size)
    return {
        said: [
            [plan.arena_bytes, plan.macs / graph.exit_macs[-1]]
            for plan in dialled_plans(graph, image)
        ]
        for said, image in (("with_image", True), ("without_image", False))
    }


def dialled_plans(graph: Graph, image: bool) -> list[StreamedPlan]:
    """A dial, whose first plan is placed as well as that of a network without a budget."""
    first = plan_stream(graph, 1, image=image)
    plans = dial(graph, 1, image=image, effort=EFFORT)
    return [first, *(plan for plan in plans if plan.arena_bytes < first.arena_bytes)]


def with_exits(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The dial of a net with exits: bytes, factor and multiply-adds up to each exit; and bytes of
    the net without them.
    """
    size = default_image_size(name)
    alone = build_graph(create_model(name, exits="last"), size)
    graph = build_graph(create_model(name, **arguments), size)
    plain = sum(graph.exit_macs)
    return {
        "alone_bytes": plan_stream(alone, 1).arena_bytes,
        "points": [
            [plan.arena_bytes, plan.price_macs / plain, list(plan.graph.exit_macs)]
            for plan in dialled_plans(graph, True)
        ],
    }


def kept_of(network: Network, device: str = DEVICE) -> dict[str, Any]:
    """The figures of a network on a device that are kept where it is no row of the first table."""
    found = on_device(network, device)
    return {key: found[key] for key in KEPT}


def on_aarch64(name: str) -> dict[str, int]:
    """Multiply-adds, and instructions of generated C in int8, plain and with NEON."""
    neon.register_forms()
    macs, found = neon.counted(name, NEON_PIXELS)
    return {"macs": macs, **{build: sum(counts.values()) for build, counts in found.items()}}


def planned(name: str, arguments: dict[str, Any], size: int) -> dict[str, int]:
    """The plan of a network of the zoo."""
    plan, _ = arena.planned(name, arguments, size)
    return {key: getattr(plan, key) for key in ("arena_bytes", "least_bytes", "bound_bytes")}


def on_processor() -> dict[str, float]:
    """Times of generated C over onnxruntime's in int8, one thread, whole networks at 224 px."""
    import goals

    torch.set_num_threads(1)
    goals.register_forms()
    with tempfile.TemporaryDirectory() as place:
        asked = ON_PROCESSORS, goals.ENGINES_TIMED, ("int8",)
        _, timings = goals.networks(224, 15, Path(place), asked, time.perf_counter)
    return {
        net: timings[f"{net}, last exit alone: c, int8"].low_ms[-1]
        / timings[f"{net}, last exit alone: onnxruntime, int8"].low_ms[-1]
        for net in ON_PROCESSORS
    }
