"""What makes ReX train well: one trial after another, judged on calibration images alone.

MobileNetV2 at width 0.5 with six exits, with and without ReX, at 64 pixels. A quarter of the
training images is held out for calibration; no test image is looked at. Rows of before, evaluated
at 80 pixels, are in `experiments/rex_search_80px.csv`; `docs/rex.md` says why they are not
compared. The first of the page's tables of plain and ReX networks is `PLAIN`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.claims import difference
from harness.measure import HELD_OUT, held_out, numbers
from harness.results import Row
from harness.study import Run, Scale, Study

from studies.hard_gates import HARD
from studies.recipes import ADAMW, BETTER, CELLS, PAPER_FORM, SMALL

THREE = (0, 1, 2)
NORM: dict[str, Any] = {"norm": True, "remember": True}


def _plain(name: str, settings: Mapping[str, Any], seeds: Sequence[int] = (0,)) -> Run:
    return Run(name, "mobilenetv2", {}, settings, _told(settings), tuple(seeds))


def _rex(
    name: str,
    form: Mapping[str, Any],
    settings: Mapping[str, Any],
    seeds: Sequence[int] = (0,),
    **other: Any,
) -> Run:
    args = {**({"rex_form": form} if form else PAPER_FORM), **other}
    told = _told(settings, {**form, **other})
    return Run(name, "rex_mobilenetv2", args, settings, told, tuple(seeds))


def _taught(run: Run) -> Run:
    return replace(run, teacher=LARGE, recipe=f"{run.recipe} teacher={LARGE.name}")


def _told(settings: Mapping[str, Any], form: Mapping[str, Any] | None = None) -> str:
    """What differs from the paper's ReX and the default training; a row keeps it."""
    return " ".join(f"{key}={value}" for key, value in {**settings, **(form or {})}.items())


PLAIN = "plain-adamw"
LARGE = Run("plain-large", "mobilenetv2", {"width": 1.0}, ADAMW)  # teaches others
TAUGHT: dict[str, Any] = {"distil_share": 0.5}
RUNS = (
    _plain(PLAIN, ADAMW, THREE),
    _rex("rex-min-norm", BETTER, CELLS, THREE),
    _rex("rex-gru-norm", NORM, CELLS, THREE),
    _rex("rex-paper-adamw", {}, ADAMW, THREE),
    # The optimiser, with equal effort for both.
    _plain("plain-sgd", {}),
    _rex("rex-paper-sgd", {}, {}),
    # What helps minGRU, one thing at a time.
    _rex("rex-min-norm-pooled", BETTER | {"pooled": True}, CELLS),
    _rex("rex-min-norm-act", BETTER | {"act": True}, CELLS),
    _rex("rex-min-norm-patch8", BETTER | {"patch_size": 8}, CELLS),
    _rex("rex-min-norm-blocks2", BETTER | {"blocks": 2}, CELLS, THREE),
    _rex("rex-min-norm-deeper2", BETTER, CELLS, THREE, deeper=2),
    _rex("rex-min-norm-deeper4", BETTER, CELLS, THREE, deeper=4),
    _rex("rex-min-norm-hidden24", BETTER | {"hidden1": 24}, CELLS),
    _rex("rex-min", {"cell": "mingru"}, ADAMW),
    _rex("rex-min-remember", {"cell": "mingru", "remember": True}, CELLS),
    # The first exit is where ReX is behind.
    _rex("rex-min-norm-exit1", BETTER, CELLS | {
        "exit_head": "rex,pooled,pooled,pooled,pooled,pooled"}),
    _rex("rex-min-norm-pooled-act", BETTER | {"pooled": True, "act": True}, CELLS),
    # The last average pooling.
    _rex("rex-min-norm-last", BETTER, CELLS | {
        "exit_head": "pooled,pooled,pooled,pooled,pooled,rex"}),
    # Other cells in the same form.
    _rex("rex-fastgrnn-norm", {"cell": "fastgrnn", "norm": True}, CELLS),
    _rex("rex-lstm-norm", NORM | {"cell": "lstm"}, CELLS),
    _rex("rex-hard-min-norm", NORM | {"cell": HARD}, CELLS),
    _rex("rex-gru-norm-sgd", NORM, {"cell_weight_decay": 0.0}),
    _rex("rex-min-norm-sgd", BETTER, {"cell_weight_decay": 0.0}),
    _rex("rex-gru-cells-adamw", {}, {"cell_optimizer": "adamw", "cell_lr": 3e-3}),
    _plain("plain-adamw-lr6", ADAMW | {"lr": 6e-3}),
    _rex("rex-min-norm-lr6", BETTER, CELLS | {"lr": 6e-3}),
    _plain("plain-adamw-lr1.5", ADAMW | {"lr": 1.5e-3}),
    _rex("rex-min-norm-lr1.5", BETTER, CELLS | {"lr": 1.5e-3}),
    _plain("plain-adamw-decay15", ADAMW | {"weight_decay": 0.15}),
    _rex("rex-min-norm-decay15", BETTER, CELLS | {"weight_decay": 0.15}),
    _rex("rex-min-norm-celldecay", BETTER, ADAMW),
    _rex("rex-min-norm-celllr", BETTER, CELLS | {"cell_lr": 1e-2}),
    # A larger plain network as the teacher of all exits, of both nets.
    _taught(_plain("plain-adamw-taught", ADAMW | TAUGHT)),
    _taught(_rex("rex-min-norm-taught", BETTER, CELLS | TAUGHT)),
)  # fmt: skip

STUDY = Study(
    "rex_search",
    "What makes ReX train well",
    RUNS,
    {
        "small": Scale(
            "imagenette128", SMALL | {"epochs": 16, "calibration_fraction": 0.25}, width=0.5
        )
    },
    held_out,
    HELD_OUT,
)


def table(rows: Sequence[Row]) -> list[str]:
    """All trials, seeds one below the other; behind the last seed, the trial against the plain
    network over the seeds that both have.
    """
    lines = ["| trial | settings | seed | exits 1 ... 6, % | MACs |"]
    lines.append("| --- | --- | ---: | --- | ---: |")
    for row in rows:
        exits = " ".join(f"{100 * share:.1f}" for share in numbers(row["exits"]))
        macs = f"{numbers(row['macs'])[-1] / 1e6:.1f} M"
        lines.append(f"| {row['run']} | {row['recipe']} | {row['seed']} | {exits} | {macs} |")
    lines += ["", "| trial | first exit against plain | last exit against plain |"]
    lines.append("| --- | --- | --- |")
    for name in dict.fromkeys(row["run"] for row in rows):
        gains = [difference(rows, name, PLAIN, f"right_{which}") for which in ("first", "last")]
        if name != PLAIN and None not in gains:
            lines.append(f"| {name} | {gains[0]} | {gains[1]} |")
    return lines
