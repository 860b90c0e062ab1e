"""`exeunt eval`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exeunt.cli.options import (
    AllowUnreadable,
    AnEngine,
    BatchSize,
    Device,
    Json,
    Limit,
    Protocol,
    Split,
    Threads,
    Workers,
)
from exeunt.errors import ExeuntError
from exeunt.output_file import check_output

if TYPE_CHECKING:
    from exeunt.report.measurement import Measurement

# Parameters of `evaluate` that say how a table is made, not what is made of it.
_OF_RECORDING = (
    *("split", "limit", "allow_unreadable", "sensor"),
    *("batch_size", "workers", "device", "threads", "engine"),
)


def evaluate(
    ctx: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Run folder, weights file, shipped weights (`exeunt list`) or exported ONNX "
            "folder; or, without DATA, a file of `exeunt record`.",
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATA",
            show_default=False,
            help="Labelled images, laid out as for `exeunt train`.",
        ),
    ] = None,
    split: Annotated[
        Split, typer.Option(help="Split of DATA, cut as in training; all is every image.")
    ] = Split.TEST,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SPEC",
            show_default=False,
            help="Exit policy to try instead of the default ones; may be given several times.",
        ),
    ] = None,
    protocol: Annotated[
        Protocol,
        typer.Option(
            help="anytime: every exit alone; policies: criteria side by side too; budgeted: also "
            "what is solved for mean costs on the calibration split, shown on the test split."
        ),
    ] = Protocol.POLICIES,
    every: Annotated[
        bool,
        typer.Option("--all", help="Print all of the default policies, not those that differ."),
    ] = False,
    diagnose: Annotated[
        bool,
        typer.Option(
            "--diagnose",
            help="Tell what goes wrong too: overthinking, calibration error, agreement of exits, "
            "classes (with the first --policy or the stored one), hardest images.",
        ),
    ] = False,
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="Recorded calibration split, for --protocol budgeted; by default it is run.",
        ),
    ] = None,
    sensor: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            show_default=False,
            help="Show the images as a camera sends them and the C runtime takes them in: rgb565, "
            "yuyv, bayer-rggb, grey ..., then :WIDTHxHEIGHT of its frames and :box or :nearest.",
        ),
    ] = None,
    limit: Limit = None,
    allow_unreadable: AllowUnreadable = 0.01,
    batch_size: BatchSize = 64,
    workers: Workers = 0,
    device: Device = "cpu",
    threads: Threads = None,
    engine: AnEngine = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", show_default=False, help="Draw it, as PNG and SVG in this folder."
        ),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(show_default=False, help="Write all rows to this file.")
    ] = None,
    json: Json = False,
) -> None:
    """Measure exits and policies on labelled images, or on a recording.

    Prints how right each exit is on its own, then for each policy how right the exits taken are
    and what they cost. `oracle` counts an image as right if any exit up to that one is. Intervals
    are of 95 %.
    """
    import torch

    from exeunt.cli.render import show_json
    from exeunt.export.onnx.reader import open_exits
    from exeunt.policies import parse_policy
    from exeunt.report.measurement import Measurement
    from exeunt.report.protocols import EvaluationOptions, evaluation_sections
    from exeunt.report.recorder import Recorder, open_recording

    if threads is not None:
        torch.set_num_threads(threads)
    check_output("--csv", csv, [model, data, calibration])
    check_output("--plot", None if plot is None else plot / "costs.png")
    options = EvaluationOptions(
        protocol, [parse_policy(spec) for spec in policy or []], diagnose, plot, every
    )
    if calibration is not None and protocol is not Protocol.BUDGETED:
        raise ExeuntError(f"--calibration is for --protocol budgeted, not for {protocol.value}")
    recorder = None
    if data is None:
        _refuse_options(ctx, model)
        run, table = open_recording(model)
    else:
        trained = open_exits(model, device, threads, engine).seen_by(sensor)
        recorder = Recorder(
            model,
            trained,
            data,
            limit=limit,
            allow_unreadable=allow_unreadable,
            batch_size=batch_size,
            workers=workers,
        )
        run, table = recorder.record(split)
    held_out = None
    if protocol is Protocol.BUDGETED:
        if calibration is not None:
            _, held_out = open_recording(str(calibration))
        elif recorder is not None:
            _, held_out = recorder.record(Split.CALIBRATION)
        else:
            raise ExeuntError(
                f"{model} holds the {table.split} split; budgeted policies are solved on the "
                "calibration split: record that too and give the file as --calibration"
            )
        run["calibration_samples"] = len(held_out)
    measurement = Measurement(run, evaluation_sections(options, run, table, held_out))
    if json:
        for line in measurement.lines:
            show_json(line)
    else:
        _show(measurement)
    if csv is not None:
        measurement.write_csv(csv)


def _refuse_options(ctx: typer.Context, file: str) -> None:
    """Refuses options that have nothing to act on when nothing is recorded.

    Raises:
        ExeuntError: naming the first of them.
    """
    for name in _OF_RECORDING:
        source = ctx.get_parameter_source(name)
        if source is not None and source.name != "DEFAULT":
            option = "--" + name.replace("_", "-")
            raise ExeuntError(f"{option} needs MODEL and DATA; {file} is recorded already")


def _show(measurement: Measurement) -> None:
    """Prints what was prepared how, and all sections."""
    from exeunt.cli.render import describe_transform, show_facts, show_table

    run = measurement.run
    images = f"{run['split']}: {run['samples']} images"
    if "transform" in run:
        origin = "that of the weights"
        if run["trained_on_fingerprint"] is None:
            origin = "the weights do not say what they were made from"
        elif run["data_fingerprint"] != run["trained_on_fingerprint"]:
            origin = f"the weights were made from other data, {run['trained_on_fingerprint']}"
        facts = [
            ("model", run["model"]),
            ("data", f"{run['data']}, {images}"),
            ("fingerprint", f"{run['data_fingerprint']} ({origin})"),
            ("transform", describe_transform(run["transform"])),
        ]
    else:
        facts = [
            ("recorded", f"{run['data']}, {images}"),
            ("fingerprint", f"{run['data_fingerprint']}"),
            ("weights", run["weights_fingerprint"]),
        ]
    show_facts(facts)
    for section in measurement.sections:
        typer.echo(f"\n{section.title}")
        show_table(section.columns, section.cells, section.align)
