"""A folder with all that a C compiler needs to build a network."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import exeunt
from exeunt.data import Transform
from exeunt.errors import ExeuntError
from exeunt.export.c.layouts import ALL, check_layout, layout_files
from exeunt.export.c.model import described, write_tables, written
from exeunt.export.c.network import NetworkText
from exeunt.export.c.numbers import Numbers
from exeunt.export.c.prefix import check_prefix
from exeunt.export.c.report import FILE, FORMAT, WEIGHTS, listed_files
from exeunt.export.c.shape import CLASSIFY, SELF_TEST, network_place, runtime_place
from exeunt.export.c.source import CSource
from exeunt.export.c.templates import render
from exeunt.files import AS_NAMED
from exeunt.folders import replacing_folder
from exeunt.graph.graph import Graph, Node
from exeunt.graph.streamed import StreamedPlan

RUNTIME = files("exeunt") / "runtime"
ALWAYS = ("exn_engine.c", "exn_status.c")
"""Sources of the runtime that every network uses."""


@dataclass(frozen=True)
class CModel:
    """What is written.

    Attributes:
        name: prefix of all names in C.
        title: one line for the header.
        numbers: the net and its policy, in one type of number.
        plan: of the net, for that type.
        transform: from a photograph to the net's input.
        class_names: K of them.
        facts: that go into `report.json`, as `ExportReport` has them, besides what is found here.
        weights: the weights file, of which the folder gets a copy for Python; None for none.
    """

    name: str
    title: str
    numbers: Numbers
    plan: StreamedPlan
    transform: Transform
    class_names: Sequence[str]
    facts: dict[str, Any]
    weights: Path | None = None


def write_c(model: CModel, folder: str | Path, layout: str = ALL) -> dict[str, Any]:
    """Writes the folder as a whole, or not at all; returns what `report.json` holds.

    With files for the build system `layout`, one of `LAYOUTS`, or for `ALL` of them.

    An older export in the folder is replaced, file by file as its report lists them; other files
    stay (`exeunt.folders.replacing_folder`).

    Raises:
        ExeuntError: when the name or that of a class cannot be used in C, there is no such layout,
            the folder holds something else, the plan is for numbers of another size, or there is
            an operator that no kernel does.
        WriteError: when it cannot be written; the folder is as it was.
    """
    folder = Path(folder)
    check_prefix(model.name)
    check_layout(layout)
    graph, source = model.plan.graph, CSource(model.name)
    if _element_bytes(model.plan) != model.numbers.element_bytes:
        raise ExeuntError(
            f"the plan is for numbers of {_element_bytes(model.plan)} bytes; {model.numbers.dtype} "
            f"has {model.numbers.element_bytes}"
        )
    kernels, stages = {}, {n.output: k for k, s in enumerate(graph.stages) for n in s.nodes}
    constants_bytes = [0] * len(graph.stages)
    for number, node in enumerate(written(model.plan)):
        source.note(described(node, graph, number))
        kernels[node.output] = model.numbers.kernel(node, model.plan, source, number)
        constants_bytes[stages[node.output]] = source.constant_bytes
    write_tables(model.plan, kernels, source)
    text = NetworkText(
        model.name,
        model.title,
        model.numbers,
        model.plan,
        model.transform,
        model.class_names,
        constants_bytes,
        model.facts.get("calibration", {}),
    )
    own = {file: said for kernel in kernels.values() for file, said in kernel.own.items()}
    constants = text.constants(source, own)
    network = {
        **own,
        f"{model.name}.h": text.header(source.constant_bytes),
        f"{model.name}.c": constants,
        f"{model.name}_self_test.c": text.self_test(),
    }
    names = sorted(
        {
            name
            for kernel in kernels.values()
            for name in ((() if kernel.own else (kernel.name,)) + kernel.parts)
        }
    )
    needed = _needed(model, names)
    report = {
        "format": FORMAT,
        "name": model.name,
        "dtype": model.numbers.dtype,
        "image_shape": list(graph.shapes[graph.image]),
        "class_names": list(model.class_names),
        "transform": model.transform.to_dict(),
        "exit_macs": list(graph.exit_macs),
        "recomputed_macs": model.plan.recomputed_macs,
        "nodes": [_described(node, graph) for node in written(model.plan)],
        "memory": _memory(model.plan),
        "flash": {
            "constants_bytes": source.constant_bytes,
            "exit_constants_bytes": constants_bytes,
        },
        "kernels": names,
        "runtime": needed,
        "own": sorted(own),
        "layout": layout,
        "version": exeunt.__version__,
        **model.facts,
    }
    parts = {network_place(model.name, file): said for file, said in network.items()}
    runtime = _runtime()
    parts |= {runtime_place(file): said for file, said in runtime.items()}
    parts |= {file: render(file, **text.names) for file in (CLASSIFY, SELF_TEST)}
    sources = {
        "every_source": sorted(file for file in runtime if file.endswith(".c")),
        "used_sources": needed,
        "own_sources": sorted(file for file in own if file.endswith(".c")),
        "own_headers": sorted(file for file in own if file.endswith(".h")),
    }
    parts |= layout_files(layout, {**text.names, **sources})
    weights = [] if model.weights is None else [WEIGHTS.as_posix()]
    report["files"] = sorted([*parts, FILE, *weights])
    parts[FILE] = json.dumps(report, indent=2) + "\n"
    with replacing_folder(folder, owned_files) as made:
        for file, said in parts.items():
            (made / file).parent.mkdir(parents=True, exist_ok=True)
            (made / file).write_text(said, encoding="utf-8", errors=AS_NAMED)
        if model.weights is not None:
            (made / WEIGHTS).parent.mkdir(exist_ok=True)
            shutil.copyfile(model.weights, made / WEIGHTS)
    return report


def owned_files(folder: Path) -> tuple[str, ...]:
    """The files that an export wrote into a folder, as its report lists them.

    Raises:
        ExeuntError: when the folder holds no export, or one from before there were lists.
    """
    if not (folder / FILE).exists():
        raise ExeuntError(f"{folder} is there and holds no export in C; choose another --out")
    try:
        files = listed_files(folder)
    except ExeuntError as error:
        raise ExeuntError(
            f"{folder} is there and holds no export in C; choose another --out ({error})"
        ) from error
    if not files:
        raise ExeuntError(
            f"{folder} was exported by an exeunt that kept no list of its files, so that yours "
            "could not be told from them; choose another --out, or remove the folder"
        )
    return files


def _described(node: Node, graph: Graph) -> dict[str, Any]:
    macs = graph.macs[node.output]
    return {"module": node.module, "operator": node.operator.kind, "macs": macs}


def _memory(plan: StreamedPlan) -> dict[str, int]:
    return {
        "arena_bytes": plan.arena_bytes,
        "row_window_bytes": plan.window_bytes,
        "bound_bytes": plan.bound_bytes,
        "least_bytes": plan.least_bytes,
    }


def _element_bytes(plan: StreamedPlan) -> int:
    channels, _, width = plan.graph.shapes[plan.graph.image]
    return plan.row_buffers[plan.home[plan.graph.image]].row_bytes // (channels * width)


def _needed(model: CModel, kernels: Sequence[str]) -> list[str]:
    """The sources of the runtime that a network uses."""
    wanted = {*ALWAYS, *model.numbers.files}
    for kernel in kernels:
        wanted |= {f"{kernel}.c", *model.numbers.beside.get(kernel, ())}
    return sorted(file for file in wanted if file.endswith(".c"))


def _runtime() -> dict[str, str]:
    """The files of the runtime by name: all of them, so that networks can share one copy."""
    sources = [item for item in RUNTIME.iterdir() if item.name.endswith((".c", ".h"))]
    return {item.name: item.read_text(encoding="utf-8") for item in sources}
