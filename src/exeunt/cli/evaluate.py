"""`exeunt eval`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from exeunt.cli.options import (
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

if TYPE_CHECKING:
    from exeunt.cli.trained import TrainedModel
    from exeunt.evaluate import ExitTable

# Parameters of `evaluate` that say how a table is made, not what is made of it.
_OF_RECORDING = ("split", "limit", "batch_size", "workers", "device", "threads", "engine")


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
            help="Exit policy to try instead of the usual ones; may be given several times.",
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
        bool, typer.Option("--all", help="Print all of the usual policies, not those that differ.")
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
    limit: Limit = None,
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

    from exeunt.cli.exported import open_exits
    from exeunt.cli.measurement import Measurement
    from exeunt.cli.protocols import Question, answer
    from exeunt.cli.render import show_json
    from exeunt.evaluate import baseline
    from exeunt.policies import parse_policy

    if threads is not None:
        torch.set_num_threads(threads)
    question = Question(
        protocol, [parse_policy(spec) for spec in policy or []], diagnose, plot, every
    )
    if calibration is not None and protocol is not Protocol.BUDGETED:
        raise ExeuntError(f"--calibration is for --protocol budgeted, not for {protocol.value}")
    record = None
    if data is None:
        _refuse_options(ctx, model)
        run, table = _open(model)
    else:
        trained = open_exits(model, device, threads, engine)
        record = _recorder(model, trained, data, limit, batch_size, workers)
        run, table = record(split)
    held_out = None
    if protocol is Protocol.BUDGETED:
        if calibration is not None:
            _, held_out = _open(str(calibration))
        elif record is not None:
            _, held_out = record(Split.CALIBRATION)
        else:
            raise ExeuntError(
                f"{model} holds the {table.split} split; budgeted policies are solved on the "
                "calibration split: record that too and give the file as --calibration"
            )
        run["calibration_samples"] = len(held_out)
    run["baseline"] = asdict(baseline(table))
    measurement = Measurement(run, answer(question, run, table, held_out))
    if json:
        for line in measurement.lines:
            show_json(line)
    else:
        measurement.show()
    if csv is not None:
        measurement.write_csv(csv)


def _recorder(
    model: str,
    trained: TrainedModel,
    data: Path,
    limit: int | None,
    batch_size: int,
    workers: int,
) -> Callable[[Split], tuple[dict[str, Any], ExitTable]]:
    """Gives for a split what was run on what, and the logits."""
    from exeunt.cli.recording import open_labelled, pick, record_split
    from exeunt.data import fingerprint

    source = open_labelled(trained, data)
    of_all = fingerprint(source.samples)

    def record(split: Split) -> tuple[dict[str, Any], ExitTable]:
        samples = pick(trained, source, split, limit)
        table = record_split(trained, samples, split, batch_size=batch_size, workers=workers)
        run = {
            "model": model,
            "data": str(data),
            "split": split.value,
            "samples": len(table),
            "transform": trained.transform.to_dict(),
            "data_fingerprint": of_all,
            "trained_on_fingerprint": trained.info.data["fingerprint"],
            "weights_fingerprint": table.weights_fingerprint,
            "stored_policy": trained.policy(None).spec,
        }
        return run, table

    return record


def _open(file: str) -> tuple[dict[str, Any], ExitTable]:
    """What was recorded, and the logits. Nothing is known of the images but their split."""
    from exeunt.evaluate import load_table
    from exeunt.evaluate.table_file import SUFFIX

    if not file.endswith(SUFFIX):
        raise ExeuntError(
            f"{file}: give DATA, labelled images to run it on; only a file of `exeunt record` "
            f"({SUFFIX}) is evaluated without"
        )
    table = load_table(file)
    run = {
        "model": file,
        "data": file,
        "split": table.split,
        "samples": len(table),
        "data_fingerprint": table.data_fingerprint,
        "weights_fingerprint": table.weights_fingerprint,
        "stored_policy": None,
    }
    return run, table


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
