"""`exeunt export`."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from exeunt.cli.options import (
    AllowUnreadable,
    BatchSize,
    Dtype,
    Json,
    Keep,
    Limit,
    Threads,
    Trained,
    Workers,
)
from exeunt.cli.render import show_facts, show_json
from exeunt.errors import ExeuntError
from exeunt.text import percent, short_spec

# Parameters that mean nothing to other targets.
_OF_C = ("ranges", "name", "budget_kib", "layout")
_OF_ONNX = ("quantize_rex", "single_file")


class Target(StrEnum):
    C = "c"
    ONNX = "onnx"
    WEB = "web"


class Layout(StrEnum):
    ALL = "all"
    MAKE = "make"
    CMAKE = "cmake"
    ARDUINO = "arduino"
    PLATFORMIO = "platformio"
    ESP_IDF = "esp-idf"
    ZEPHYR = "zephyr"
    CMSIS_PACK = "cmsis-pack"
    MICROPYTHON = "micropython"


class Ranges(StrEnum):
    MSE = "mse"
    MINMAX = "minmax"
    PERCENTILE = "percentile"


def export(
    ctx: typer.Context,
    model: Trained,
    out: Annotated[
        Path, typer.Option(metavar="DIR|PAGE.html", help="Folder to write; a page for web.")
    ],
    target: Annotated[
        Target,
        typer.Option(
            help="c: a folder of C99. onnx: one ONNX file for each stage, and what runs them. web: "
            "a page in which the C runs."
        ),
    ] = Target.C,
    dtype: Annotated[
        Dtype | None,
        typer.Option(
            show_default=False,
            help="Numbers that the network runs on; int8 by default, float32 in ONNX.",
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA",
            show_default=False,
            help="Labelled images. On their calibration split int8 finds its ranges, and policies "
            "are chosen again.",
        ),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            show_default=False,
            help="Taken as it is; by default the stored one, its thresholds moved to where as "
            "many calibration images reach them.",
        ),
    ] = None,
    budget_fraction: Annotated[
        float | None,
        typer.Option(metavar="SHARE", show_default=False, help="As `exeunt calibrate` has it."),
    ] = None,
    max_accuracy_drop: Annotated[
        float | None,
        typer.Option(metavar="SHARE", show_default=False, help="As `exeunt calibrate` has it."),
    ] = None,
    ranges: Annotated[Ranges, typer.Option(help="How int8 covers a tensor, in C.")] = Ranges.MSE,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="PREFIX", show_default=False, help="Of all names in C; DIR's by default."
        ),
    ] = None,
    budget_kib: Annotated[
        float | None,
        typer.Option(
            metavar="KIB",
            show_default=False,
            help="Expand rows again until the arena is no larger; refuse, if that cannot be.",
        ),
    ] = None,
    layout: Annotated[
        Layout, typer.Option(help="Build system whose files a folder of C gets.")
    ] = Layout.ALL,
    quantize_rex: Annotated[
        bool,
        typer.Option(
            "--quantize-rex",
            help="ReX in int8 too, in ONNX, where it is slower so; otherwise it stays float32.",
        ),
    ] = False,
    single_file: Annotated[
        bool,
        typer.Option(
            "--single-file",
            help="One graph too, net.onnx, whose later stages lie in If: one image at a time, and "
            "no quantiser reaches into it.",
        ),
    ] = False,
    keep: Keep = None,
    limit: Limit = None,
    allow_unreadable: AllowUnreadable = 0.01,
    batch_size: BatchSize = 8,
    workers: Workers = 0,
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Write a trained network for machines without torch, or without Python.

    C99 runs row by row in one fixed arena; the folder has weights, plan and policy, a program, a
    self-test and `report.json`, and `exeunt verify` builds it and compares it with Python. An ONNX
    folder has a file for each stage, `manifest.json`, and `run.py`, which needs onnxruntime, NumPy
    and Pillow alone; `exeunt predict` takes it as a MODEL. A page is one HTML file: the C as
    WebAssembly, which clang and lld make, and a place to try photographs.
    """
    import torch

    from exeunt.export.calibration import CalibrationImages, PolicyOptions
    from exeunt.trained import TrainedModel

    if threads is not None:
        torch.set_num_threads(threads)
    trained = TrainedModel.load(model)
    if keep is not None:
        trained = trained.kept(keep)
    wanted = PolicyOptions(policy, budget_fraction, max_accuracy_drop)
    images = (
        None
        if calibration is None
        else CalibrationImages(trained, calibration, limit, batch_size, workers, allow_unreadable)
    )
    if target is Target.ONNX:
        from exeunt.export.onnx.export import OnnxOptions, export_onnx

        _refuse(ctx, _OF_C, Target.C)
        as_onnx = OnnxOptions((dtype or Dtype.FLOAT32).value, quantize_rex, single_file)
        report = export_onnx(model, trained, images, wanted, as_onnx, out).to_dict()
        show: Callable[[Path, dict[str, Any]], None] = _show_onnx
    elif target is Target.WEB:
        from exeunt.export.web.export import WebOptions, export_web

        _refuse(ctx, _OF_ONNX, Target.ONNX)
        _refuse(ctx, ("name", "layout"), Target.C)
        as_web = WebOptions((dtype or Dtype.INT8).value, ranges.value, budget_kib)
        report = export_web(model, trained, images, wanted, as_web, out).to_dict()
        show = _show_web
    else:
        from exeunt.export.c.export import COptions, export_c

        _refuse(ctx, _OF_ONNX, Target.ONNX)
        as_c = (dtype or Dtype.INT8).value, ranges.value, name, budget_kib, layout.value
        report = export_c(model, trained, images, wanted, COptions(*as_c), out).to_dict()
        show = _show_c
    if json:
        show_json({"kind": "exported", "folder": str(out), **report})
    else:
        show(out, report)


def _refuse(ctx: typer.Context, names: tuple[str, ...], target: Target) -> None:
    """Refuses options that are for another target.

    Raises:
        ExeuntError: naming the first of them.
    """
    for name in names:
        source = ctx.get_parameter_source(name)
        if source is not None and source.name != "DEFAULT":
            raise ExeuntError(f"--{name.replace('_', '-')} is for --target {target.value}")


def _show_c(out: Path, report: dict[str, Any]) -> None:
    """Says what was written, for people."""
    facts = [("written", f"{out} ({report['dtype']}, names begin with {report['name']}_)")]
    facts += _plan_facts(report)
    facts.append(("verify it with", f"exeunt verify {shlex.quote(str(out))} --images DATA"))
    show_facts(facts)


def _plan_facts(report: dict[str, Any]) -> list[tuple[str, str]]:
    """Of the C that was written, wherever it runs."""
    memory, arena = report["memory"], report["memory"]["arena_bytes"]
    proved = f"no arena for this order of rows is smaller than {memory['least_bytes']}"
    if arena == memory["least_bytes"]:
        proved = "the least for this order of rows"
    rows = f"{memory['row_window_bytes']} of them rows of the image"
    facts = [
        ("arena", f"{arena} bytes ({arena / 1024:.1f} KiB), {rows}; {proved}"),
        ("constants", f"{report['flash']['constants_bytes']} bytes"),
        ("policy", short_spec(report["policy"])),
    ]
    factor = sum(report["exit_macs"]) / sum(report["plain_exit_macs"])
    if factor > 1:
        facts.insert(1, ("price", f"{factor:.3f} times the multiply-adds, over all exits"))
    return facts + _calibration_facts(report)


def _show_web(out: Path, report: dict[str, Any]) -> None:
    """Says what was written, for people."""
    size = f"{report['page_bytes'] / 1e6:.2f} MB, {report['wasm_bytes'] / 1e6:.2f} MB WebAssembly"
    facts = [("written", f"{out} ({report['dtype']}; {size})"), *_plan_facts(report)]
    facts.append(("open it", "in a browser; it makes no request"))
    show_facts(facts)


def _show_onnx(out: Path, manifest: dict[str, Any]) -> None:
    """Says what was written, for people."""
    stages = manifest["stages"]
    size = sum(stage["size_bytes"] for stage in stages)
    facts = [
        ("written", f"{out} ({manifest['dtype']}, opset {manifest['opset']})"),
        ("stages", f"{len(stages)} files, {size} bytes"),
        ("policy", short_spec(manifest["policy"])),
    ]
    if single := manifest["single"]:
        warning = "one image at a time; a quantiser would leave its branches in float32"
        one = f"{single['file']}, {single['size_bytes']} bytes: {warning}"
        facts.insert(2, ("one graph", one))
    facts += _calibration_facts(manifest)
    if manifest["calibration"] and manifest["dtype"] == "int8":
        facts.append(("in float32", ", ".join(manifest["in_float32"]) or "nothing"))
    folder, program = shlex.quote(str(out)), shlex.quote(str(out / "run.py"))
    facts.append(("run it with", f"exeunt predict {folder} IMAGE..., or python {program} IMAGE..."))
    show_facts(facts)


def _calibration_facts(report: dict[str, Any]) -> list[tuple[str, str]]:
    """What the calibration images say of the policy, and of integers beside float32."""
    found = report["calibration"]
    if not found:
        return []
    facts = [
        ("calibration", f"{found['images']} images"),
        ("  accuracy", f"{percent(found['accuracy'])}, saving {percent(found['saving'])}"),
        ("  by exit", ", ".join(map(percent, found["exit_accuracy"]))),
    ]
    if report["dtype"] == "int8":
        facts.append(("  in float32", ", ".join(map(percent, found["exit_accuracy_float32"]))))
        facts.append(("  same class", ", ".join(map(percent, found["exit_agreement"]))))
    return facts
