"""`exeunt eval`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from exeunt.cli.options import BatchSize, Device, Json, Limit, Split, Threads, Workers
from exeunt.errors import ExeuntError

if TYPE_CHECKING:
    from exeunt.evaluate import ExitTable

# Parameters of `evaluate` that say how a table is made, not what is made of it.
_OF_RECORDING = ("split", "limit", "batch_size", "workers", "device", "threads")


def evaluate(
    ctx: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Run folder, weights file or shipped weights (`exeunt list`); or, without DATA, "
            "a file of `exeunt record`.",
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
    limit: Limit = None,
    batch_size: BatchSize = 64,
    workers: Workers = 0,
    device: Device = "cpu",
    threads: Threads = None,
    csv: Annotated[
        Path | None, typer.Option(show_default=False, help="Write all rows to this file.")
    ] = None,
    json: Json = False,
) -> None:
    """Measure exits and policies on labelled images, or on a recording.

    Prints how right each exit is on its own, then for each policy how right the exits taken are
    and what they cost. `oracle` counts an image as right if any exit up to that one is.
    """
    import torch

    from exeunt.cli.measurement import Measurement
    from exeunt.cli.render import show_json
    from exeunt.evaluate import default_policies, sweep
    from exeunt.policies import parse_policy

    if threads is not None:
        torch.set_num_threads(threads)
    asked = [parse_policy(spec) for spec in policy or []]
    if data is None:
        _refuse_options(ctx, model)
        run, table = _open(model)
    else:
        run, table = _record(model, data, split, limit, batch_size, workers, device)
    stored = [parse_policy(run["stored_policy"])] if run["stored_policy"] else []
    policies = {p.spec: p for p in [*(asked or default_policies(table)), *stored]}
    measurement = Measurement.of(run, table, sweep(table, policies.values()))
    if json:
        for line in measurement.lines:
            show_json(line)
    else:
        measurement.show()
    if csv is not None:
        measurement.write_csv(csv)


def _record(
    model: str,
    data: Path,
    split: Split,
    limit: int | None,
    batch_size: int,
    workers: int,
    device: str,
) -> tuple[dict[str, Any], ExitTable]:
    """What was run on what, and the logits."""
    from exeunt.cli.recording import open_labelled, pick, record_split
    from exeunt.cli.trained import TrainedModel
    from exeunt.data import fingerprint

    trained = TrainedModel.load(model, device)
    source = open_labelled(trained, data)
    samples = pick(trained, source, split, limit)
    table = record_split(trained, samples, split, batch_size=batch_size, workers=workers)
    run = {
        "model": model,
        "data": str(data),
        "split": split.value,
        "samples": len(table),
        "transform": trained.transform.to_dict(),
        "data_fingerprint": fingerprint(s for pool in source.pools.values() for s in pool),
        "trained_on_fingerprint": trained.info.data["fingerprint"],
        "weights_fingerprint": table.weights_fingerprint,
        "stored_policy": trained.policy(None).spec,
    }
    return run, table


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
