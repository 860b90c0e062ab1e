"""`exeunt calibrate`."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exeunt.cli.options import BatchSize, Device, Json, Split, Threads, Trained, Workers
from exeunt.cli.render import show_json, warn
from exeunt.errors import ExeuntError

if TYPE_CHECKING:
    from exeunt.cli.trained import TrainedModel
    from exeunt.data import Sample, Source
    from exeunt.evaluate import ExitTable
    from exeunt.models import WeightsInfo
    from exeunt.policies import Policy


class Criterion(StrEnum):
    CONFIDENCE = "confidence"
    MARGIN = "margin"
    ENTROPY = "entropy"
    CONSISTENCY = "consistency"
    PATIENT = "patient"


def calibrate(
    model: Trained,
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA", help="Labelled images, those of the training at best."),
    ],
    budget_macs: Annotated[
        float | None,
        typer.Option(metavar="MACS", show_default=False, help="Mean MACs of an image, 40e6 say."),
    ] = None,
    budget_fraction: Annotated[
        float | None,
        typer.Option(metavar="SHARE", show_default=False, help="The same, of the full network's."),
    ] = None,
    max_accuracy_drop: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            show_default=False,
            help="At most this share of images is lost by leaving early: guaranteed.",
        ),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            show_default=False,
            help="Store this policy; or a criterion, for the largest saving within half a point.",
        ),
    ] = None,
    criterion: Annotated[
        Criterion | None,
        typer.Option(show_default=False, help="What to look at [confidence]."),
    ] = None,
    confidence: Annotated[
        float | None,
        typer.Option(metavar="P", show_default=False, help="Probability of the guarantee [0.95]."),
    ] = None,
    temperature: Annotated[
        bool, typer.Option("--temperature", help="Fit a temperature for each exit first.")
    ] = False,
    tolerance: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            show_default=False,
            help="Regression: an image is lost if its error grows by more than X.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(show_default=False, help="Weights file to write; MODEL's own by default."),
    ] = None,
    split: Annotated[Split, typer.Option(hidden=True)] = Split.CALIBRATION,
    batch_size: BatchSize = 64,
    workers: Workers = 0,
    device: Device = "cpu",
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Choose when to leave, and store it with the weights.

    Give a budget, the accuracy that may be lost, or a policy. It is chosen on the calibration
    split of DATA, which was held out in training, and stored in the weights file, where
    `exeunt predict` and `eval` find it; the one before goes into the file's history.
    """
    import torch

    from exeunt.cli.expectation import Expectation
    from exeunt.cli.goal import Goal
    from exeunt.cli.recording import open_labelled, pick, record_split
    from exeunt.cli.trained import TrainedModel
    from exeunt.evaluate import replay
    from exeunt.models.weights import save_info

    if split is not Split.CALIBRATION:
        raise ExeuntError(
            f"--split {split.value}: policies are chosen on the calibration split alone, so that "
            "the test split stays a test; leave --split out, and measure with `exeunt eval`"
        )
    goal = Goal(
        budget_macs,
        budget_fraction,
        max_accuracy_drop,
        policy,
        confidence,
        None if criterion is None else criterion.value,
        temperature,
        tolerance,
    )
    if threads is not None:
        torch.set_num_threads(threads)
    trained = TrainedModel.load(model, device)
    target = _target(trained, model, out)
    source = open_labelled(trained, data)
    samples = pick(trained, source, Split.CALIBRATION, None)
    _check_held_out(trained, source, samples, data)
    table = record_split(
        trained, samples, Split.CALIBRATION, batch_size=batch_size, workers=workers
    )
    chosen, reason = goal.reach(table)
    outcome = replay(table, chosen)
    target.parent.mkdir(parents=True, exist_ok=True)
    save_info(trained.path, with_policy(trained.info, chosen, table), target)
    expectation = Expectation(model, str(data), target, table, outcome, reason)
    if json:
        show_json(expectation.record())
    else:
        expectation.show()


def with_policy(info: WeightsInfo, policy: Policy, table: ExitTable) -> WeightsInfo:
    """Metadata with another policy, and its figures on the calibration split.

    Figures that another policy reached on other splits are dropped; those of the exits stay.
    """
    from exeunt.evaluate import figures_of

    metrics = {name: dict(figures) for name, figures in info.metrics.items()}
    for figures in metrics.values():
        if figures.get("policy", {}).get("spec") != policy.spec:
            figures.pop("policy", None)
    metrics["calibration"] = figures_of(table, policy)
    history = [*info.policy_history]
    if info.policy != policy.spec:
        history.append(info.policy)
    return replace(info, policy=policy.spec, policy_history=history, metrics=metrics)


def _target(trained: TrainedModel, model: str, out: Path | None) -> Path:
    """The file to write.

    Raises:
        ExeuntError: when it is none that can be written.
    """
    from exeunt.models import shipped_weights

    shipped = {path.resolve() for path in shipped_weights().values()}
    target = trained.path if out is None else out
    if target.resolve() in shipped:
        raise ExeuntError(
            f"{model} ships with exeunt and stays as it is; give --out FILE, such as "
            f"--out {trained.path.name}, for weights with a policy of your own"
        )
    if target.is_dir():
        raise ExeuntError(f"--out {target} is a folder; give a file, {target / trained.path.name}")
    return target


def _check_held_out(
    trained: TrainedModel, source: Source, samples: tuple[Sample, ...], data: Path
) -> None:
    """Refuses images that the weights were trained or are tested on, as far as that can be told.

    Raises:
        ExeuntError: with the way out.
    """
    from exeunt.calibrate.held_out import refuse_tested, refuse_trained
    from exeunt.cli.recording import pick
    from exeunt.data import fingerprint

    refuse_tested(samples, pick(trained, source, Split.TEST, None))
    if fingerprint(source.samples) == trained.info.data["fingerprint"]:
        return
    if refuse_trained(samples, trained.info.calibration_hashes) == 0:
        warn(
            f"{data}: not the images of the training; the figures are worth what these are, "
            "if the weights were neither trained nor tested on them"
        )
