"""`exeunt calibrate`."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exeunt.cli.options import (
    AllowUnreadable,
    BatchSize,
    Device,
    Json,
    Split,
    Threads,
    Trained,
    Workers,
)
from exeunt.cli.render import show_facts, show_json
from exeunt.errors import ExeuntError
from exeunt.output_file import check_output
from exeunt.text import figure, millions, percent, short_spec

if TYPE_CHECKING:
    from exeunt.calibrate import Calibration
    from exeunt.calibrate.risk import Guarantee
    from exeunt.trained import TrainedModel


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
    allow_unreadable: AllowUnreadable = 0.01,
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

    from exeunt.calibrate import Goal, with_policy
    from exeunt.calibrate import calibrate as choose
    from exeunt.models.weights import save_info
    from exeunt.trained import TrainedModel

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
    path = trained.require_file()
    target = _target(trained, path, model, out)
    found = choose(
        trained,
        data,
        goal,
        batch_size=batch_size,
        workers=workers,
        allow_unreadable=allow_unreadable,
    )
    save_info(path, with_policy(trained.info, found.policy, found.table), target)
    if json:
        where = {"model": model, "data": str(data), "out": str(target)}
        show_json({"kind": "calibration", **where, **found.to_dict()})
    else:
        _show(found, data, target)


def _target(trained: TrainedModel, path: Path, model: str, out: Path | None) -> Path:
    """The file to write.

    Raises:
        ExeuntError: when it is none that can be written.
    """
    from exeunt.models import shipped_weights

    shipped = {file.resolve() for file in shipped_weights().values()}
    target = path if out is None else out
    if target.resolve() in shipped:
        raise ExeuntError(
            f"{model} ships with exeunt and stays as it is; give --out FILE, such as "
            f"--out {path.name}, for weights with a policy of your own"
        )
    if out is not None and not (out.exists() and out.samefile(path)):
        check_output("--out", out)
    if target.exists() and not target.samefile(path):
        _refuse_other_weights(trained, model, target)
    return target


def _refuse_other_weights(trained: TrainedModel, model: str, target: Path) -> None:
    """Lets a file be replaced only if it holds the weights of MODEL, with a policy or another.

    Raises:
        ExeuntError: when it does not.
    """
    from exeunt.evaluate import weights_fingerprint
    from exeunt.models import load_weights

    refused = f"--out {target} is there and does not hold the weights of {model}; choose another"
    try:
        net, _ = load_weights(target)
    except ExeuntError as error:
        raise ExeuntError(f"{refused} ({error})") from error
    if weights_fingerprint(net) != weights_fingerprint(trained.net):
        raise ExeuntError(refused)


def _show(found: Calibration, data: Path, path: Path) -> None:
    """Prints what was chosen, where it is stored, and what it did on the calibration images."""
    outcome = found.outcome
    low, high = found.macs_interval
    facts = [
        ("policy", f"{outcome.policy} ({short_spec(outcome.policy.spec)})"),
        ("stored in", str(path)),
        ("chosen on", f"{data}, {found.table.split}: {len(found.table)} images"),
        *_scores(found),
        (
            "mean MACs",
            f"{millions(outcome.mean_macs)} ({millions(low)} to {millions(high)}), "
            f"saving {percent(outcome.saving)}",
        ),
        ("exit shares", ", ".join(percent(share) for share in outcome.exit_shares)),
    ]
    if found.guarantee is not None:
        facts.append(("guarantee", _promise(found, found.guarantee)))
    elif found.reason is not None:
        facts.append(("why", str(found.reason)))
    facts.append(("measure it with", shlex.join(["exeunt", "eval", str(path), str(data)])))
    show_facts(facts)


def _scores(found: Calibration) -> list[tuple[str, str]]:
    outcome = found.outcome
    if outcome.accuracy is None:
        assert outcome.mae is not None
        assert outcome.rmse is not None
        return [("error", f"mae {figure(outcome.mae)}, rmse {figure(outcome.rmse)}")]
    low, high = found.accuracy_interval
    return [("accuracy", f"{percent(outcome.accuracy)} ({percent(low)} to {percent(high)}, 95 %)")]


def _promise(found: Calibration, guarantee: Guarantee) -> str:
    lost = f"({guarantee.losses} of {guarantee.samples} images were lost)"
    if found.outcome.saving == 0:
        return f"nobody leaves early: nothing eager could be shown to be safe {lost}"
    return (
        f"at most {percent(guarantee.max_loss)} of such images are lost by leaving early, "
        f"with probability {percent(guarantee.probability)} {lost}"
    )
