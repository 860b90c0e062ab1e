"""A folder with all that a C compiler needs to build a network."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import exeunt
from exeunt.data import Transform
from exeunt.errors import ExeuntError
from exeunt.export.c.kernels_s8 import Kernel, kernel_of
from exeunt.export.c.model import write_tables
from exeunt.export.c.source import CSource
from exeunt.export.c.texts import HEADER, MODEL, SELF_TEST
from exeunt.graph.streamed import StreamedPlan
from exeunt.quantize.graph import QuantizedGraph, run_quantized
from exeunt.quantize.policy import IntegerPolicy

RUNTIME = files("exeunt") / "runtime"
HEADERS = ("exn.h", "exn_access.h", "exn_integers.h", "exn_s8.h", "exn_filter_s8.h")
ALWAYS = ("exn_engine.c", "exn_input_s8.c", "exn_judge_s8.c", "exn_halving.c")
BESIDE = {"exn_rex_s8": ("exn_tanh.c",)}
"""Sources that a kernel's own needs."""


@dataclass(frozen=True)
class CModel:
    """What is written.

    Attributes:
        name: prefix of all names in C.
        title: one line for the header.
        quantized: the net.
        plan: of the same net, with int8 elements.
        policy: over its scores.
        transform: from a photograph to the net's input.
        class_names: K of them.
        facts: that go into `report.json`.
    """

    name: str
    title: str
    quantized: QuantizedGraph
    plan: StreamedPlan
    policy: IntegerPolicy
    transform: Transform
    class_names: Sequence[str]
    facts: dict[str, Any]


def write_c(model: CModel, folder: str | Path) -> dict[str, Any]:
    """Writes the folder as a whole, or not at all; returns what `report.json` holds.

    Raises:
        ExeuntError: when the name is none in C, the folder holds something else, or there is an
            operator that no kernel does.
    """
    folder = Path(folder)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", model.name):
        raise ExeuntError(f"{model.name!r} is no prefix; give small letters, digits and _")
    if folder.exists() and any(folder.iterdir()) and not (folder / "report.json").exists():
        raise ExeuntError(f"{folder} is there and holds no export; give another folder")
    source = CSource(model.name)
    kernels = [
        kernel_of(node, model.quantized, source, number)
        for number, node in enumerate(model.plan.graph.nodes)
    ]
    write_tables(model.plan, kernels, source)
    policy = _policy(model.policy, source)
    table = _input_table(model, source)
    parts = {
        f"{model.name}.h": _header(model),
        f"{model.name}.c": _model(model, source, kernels, policy, table),
        "self_test.c": _self_test(model),
    }
    report = {**model.facts, "arena_bytes": model.plan.arena_bytes, "kernels": _names(kernels)}
    parts["report.json"] = json.dumps(report, indent=2) + "\n"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        for file, text in parts.items():
            (Path(temporary) / file).write_text(text)
        _copy_runtime(model.name, kernels, Path(temporary))
        if folder.exists():
            shutil.rmtree(folder)
        shutil.copytree(temporary, folder)
    return report


def _names(kernels: Sequence[Kernel]) -> list[str]:
    return sorted({kernel.name for kernel in kernels})


def _copy_runtime(name: str, kernels: Sequence[Kernel], folder: Path) -> None:
    wanted = [*HEADERS, *ALWAYS]
    for kernel in _names(kernels):
        wanted += [f"{kernel}.c", *BESIDE.get(kernel, ())]
    for file in dict.fromkeys(wanted):
        (folder / file).write_text((RUNTIME / file).read_text())
    for file in ("main.c", "Makefile"):
        text = (RUNTIME / "app" / file).read_text()
        text = text.replace("@prefix@", name).replace("@PREFIX@", name.upper())
        (folder / file).write_text(text)


def _policy(policy: IntegerPolicy, source: CSource) -> str:
    levels = "NULL"
    if policy.softness is not None:
        fields = {}
        for name in ("confidence", "margin", "softness"):
            values = getattr(policy, name)
            fields[name] = "NULL"
            if values is not None:
                fields[name] = source.array("uint32_t", name, (f"{v}u" for v in values))
        levels = f"&{source.struct('exn_policy_s8', 'levels', fields)}"
    return source.struct("exn_policy", "policy", {"levels": levels, "patience": policy.patience})


def _input_table(model: CModel, source: CSource) -> str:
    """The number of each byte, by channel."""
    graph = model.quantized.graph
    scale = model.quantized.scales[graph.image]
    every = np.arange(256, dtype=np.uint8).reshape(1, 256, 1)
    every = np.repeat(every, graph.shapes[graph.image][0], 2)
    levels = scale.quantized(model.transform.normalise_pixels(every))[:, 0]
    rows = ("{" + ", ".join(map(str, channel)) + "}" for channel in levels.tolist())
    table = source.array("exn_byte_table", "bytes", rows)
    return source.struct("exn_input_s8", "input", {"table": table})


def _header(model: CModel) -> str:
    channels, height, width = model.plan.graph.shapes[model.plan.graph.image]
    return HEADER.format(
        title=model.title,
        prefix=model.name,
        upper=model.name.upper(),
        version=exeunt.__version__,
        dtype="int8",
        arena_bytes=model.plan.arena_bytes,
        height=height,
        width=width,
        channels=channels,
        classes=len(model.class_names),
        exits=len(model.plan.graph.stages),
        score_type="int16_t",
        score_format="%d",
        score_shown="int)(score",
    )


def _model(
    model: CModel, source: CSource, kernels: Sequence[Kernel], policy: str, table: str
) -> str:
    names = ",\n".join(f"    {json.dumps(name)}" for name in model.class_names)
    scales = [model.quantized.logit_scale(k) for k in range(len(model.plan.graph.stages))]
    said = MODEL.format(
        prefix=model.name,
        upper=model.name.upper(),
        policy=policy,
        read_row="exn_read_row_s8",
        input=table,
        judge="exn_judge_s8",
        class_names=names,
        score_scales=", ".join(f"{scale.scale:.9e}f" for scale in scales),
    )
    return f'#include "{model.name}.h"\n#include "exn_s8.h"\n\n{source}\n{said}'


def _self_test(model: CModel) -> str:
    graph = model.quantized.graph
    pattern = made_up_image(graph.shapes[graph.image])
    scores = run_quantized(model.quantized, model.transform.normalise_pixels(pattern)[None])
    rows = ("    {" + ", ".join(map(str, s[0].tolist())) + "}" for s in scores)
    return SELF_TEST.format(
        prefix=model.name, upper=model.name.upper(), scores=",\n".join(rows), tolerance=0
    )


def made_up_image(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The image (H, W, C) that the self-test makes, for an input of shape (C, H, W)."""
    channels, height, width = shape
    random, found = 1, bytearray()
    for _ in range(channels * height * width):
        random = (random * 1664525 + 1013904223) % 2**32
        found.append(random >> 24)
    return np.frombuffer(found, np.uint8).reshape(height, width, channels)
