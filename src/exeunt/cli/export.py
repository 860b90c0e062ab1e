"""`exeunt export`."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from exeunt.cli.options import BatchSize, Dtype, Json, Limit, Threads, Trained, Workers
from exeunt.cli.render import show_json
from exeunt.errors import ExeuntError

# Parameters that mean nothing to the other target.
_OF_C = ("ranges", "name", "budget_kib")
_OF_ONNX = ("quantize_rex", "single_file")


class Target(StrEnum):
    C = "c"
    ONNX = "onnx"


class Ranges(StrEnum):
    MSE = "mse"
    MINMAX = "minmax"
    PERCENTILE = "percentile"


def export(
    ctx: typer.Context,
    model: Trained,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write.")],
    target: Annotated[
        Target,
        typer.Option(
            help="c: a folder of C99. onnx: one ONNX file for each stage, and what runs them."
        ),
    ] = Target.C,
    dtype: Annotated[
        Dtype | None,
        typer.Option(
            show_default=False,
            help="Numbers that the network runs on; int8 in C by default, float32 in ONNX.",
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
    limit: Limit = None,
    batch_size: BatchSize = 8,
    workers: Workers = 0,
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Write a trained network for machines without torch, or without Python.

    C99 runs row by row in one fixed arena; the folder has weights, plan and policy, a program, a
    self-test and `report.json`, and `exeunt verify` builds it and compares it with Python. An ONNX
    folder has a file for each stage, `manifest.json`, and `run.py`, which needs onnxruntime, NumPy
    and Pillow alone; `exeunt predict` takes it as a MODEL.
    """
    import torch

    from exeunt.cli.exporting import Images, Wanted
    from exeunt.cli.trained import TrainedModel

    if threads is not None:
        torch.set_num_threads(threads)
    trained = TrainedModel.load(model)
    wanted = Wanted(policy, budget_fraction, max_accuracy_drop)
    images = (
        None if calibration is None else Images(trained, calibration, limit, batch_size, workers)
    )
    if target is Target.ONNX:
        from exeunt.cli.export_onnx import AsOnnx, export_onnx, show_onnx

        _refuse(ctx, _OF_C, Target.C)
        as_onnx = AsOnnx((dtype or Dtype.FLOAT32).value, quantize_rex, single_file)
        report = export_onnx(model, trained, images, wanted, as_onnx, out)
        show: Callable[[Path, dict[str, Any]], None] = show_onnx
    else:
        from exeunt.cli.export_c import AsC, export_c, show_c

        _refuse(ctx, _OF_ONNX, Target.ONNX)
        asked = AsC((dtype or Dtype.INT8).value, ranges.value, name, budget_kib)
        report = export_c(model, trained, images, wanted, asked, out)
        show = show_c
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
