"""The better form of ReX where weights ship: 112 pixels, width 0.75, a third of the epochs.

The recipe is the one of the weights that ship, with AdamW for all networks.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.claims import Claim, Verdict, difference
from harness.measure import CLASSIFICATION, classification, numbers, packed, ram_bytes
from harness.results import ROOT, Row
from harness.study import Run, Scale, Study

from exeunt import Classifier, Confidence, choose_policy, replay
from exeunt.evaluate import scores
from studies.recipes import ADAMW, BETTER, CELLS, PAPER_FORM

PLAIN, REX, BEHIND = "plain", "better ReX", "better ReX, two blocks behind"
LATER = "better ReX, two blocks a stride later"
SEEDS = (0, 1, 2)


def _rex(name: str, seeds: Sequence[int] = (0,), deeper: int = 0, **form: Any) -> Run:
    """The better form, perhaps with something changed."""
    args: dict[str, Any] = {"rex_form": BETTER | form}
    if deeper:
        args["deeper"] = deeper
    return Run(name, "rex_mobilenetv2", args, CELLS, "adamw, cells apart", tuple(seeds))


RUNS = (
    _rex(BEHIND, SEEDS, blocks=2),
    _rex(LATER, SEEDS, deeper=2),
    Run(PLAIN, "mobilenetv2", settings=ADAMW, seeds=SEEDS),
    _rex(REX, SEEDS),
    Run("ReX", "rex_mobilenetv2", PAPER_FORM, ADAMW),
    _rex("better ReX, four blocks a stride later", deeper=4),
    _rex("better ReX, patches of 8", patch_size=8),
    _rex("better ReX, GRU", cell="gru"),
    _rex("better ReX, pooled path", pooled=True),
)
NOT_TAKEN = ("model", "model_args", "seed", "lr", "weight_decay")


def _recipe() -> dict[str, Any]:
    """What the recipe sets that belongs neither to its network nor to its optimiser."""
    text = (ROOT / "recipes" / "imagenette128.toml").read_text(encoding="utf-8")
    settings = tomllib.loads(text)
    return {key: value for key, value in settings.items() if key not in NOT_TAKEN}


def shipped(clf: Classifier, data: Any, folder: Path) -> dict[str, Any]:
    """`classification`, with the policy that is stored with weights, and the bytes of RAM.

    The policy is the one that `exeunt calibrate --policy confidence` stores.
    """
    row = classification(clf, data, folder)
    choice = choose_policy(clf.record(data, "calibration"), criterion=Confidence)
    test = clf.record(data, "test")
    outcome = replay(test, choice.policy)
    right = scores.right_classes(test)
    return row | {
        "right_first": packed(right[0].numpy()),
        "stored_policy": choice.policy.spec,
        "stored_accuracy": round(outcome.score, 4),
        "stored_macs": round(outcome.mean_macs),
        "right_stored": packed(right.gather(0, outcome.exit_index[None])[0].numpy()),
        "ram_bytes": ram_bytes(clf),
    }


STUDY = Study(
    "targets",
    "At 112 pixels and width 0.75",
    RUNS,
    {"small": Scale("imagenette128", _recipe() | {"epochs": 34}, 0.75)},
    shipped,
    (
        *CLASSIFICATION,
        *("right_first", "stored_policy", "stored_accuracy", "stored_macs", "right_stored"),
        "ram_bytes",
    ),
)


def claims(rows: Sequence[Row]) -> list[Claim]:
    """What ReX should reach against the plain network of the same recipe and seeds."""
    found = []
    for rex in (REX, BEHIND):
        for text, column, least in (
            ("better at the last exit", "right_last", 0),
            ("better with the stored policy", "right_stored", 0),
            ("no more than a point behind at the first exit", "right_first", -1),
        ):
            gain = difference(rows, rex, PLAIN, column)
            ours = "" if gain is None else f"{gain}"
            verdict: Verdict = "not run yet" if gain is None else gain.verdict(least=least)
            found.append(Claim(f"{rex}: {text}", f"over {least} points", ours, verdict))
        for text, column, most in (
            ("multiply-adds to the last exit", "macs", 0.85),
            ("multiply-adds on average, with the stored policies", "stored_macs", 0.85),
            ("RAM, int8, rows streamed", "ram_bytes", 0.6),
        ):
            ratio = _ratio(rows, rex, column)
            ours, verdict = "", "not run yet"
            if ratio is not None:
                ours, verdict = f"{ratio:.2f}", "holds" if ratio <= most else "does not hold"
            found.append(Claim(f"{rex}: {text}", f"at most {most}", ours, verdict))
    return found


def summary(rows: Sequence[Row]) -> list[str]:
    """Every network with ReX against the plain one: points, and shares of what that takes."""
    titles = "first exit", "last exit", "with the stored policies", "MACs", "MACs on average", "RAM"
    lines = [f"| against the plain network | {' | '.join(titles)} |"]
    lines.append("| --- | --- | --- | --- | ---: | ---: | ---: |")
    for name in dict.fromkeys(row["run"] for row in rows if row["run"] != PLAIN):
        gains = [difference(rows, name, PLAIN, f"right_{w}") for w in ("first", "last", "stored")]
        shares = [_ratio(rows, name, column) for column in ("macs", "stored_macs", "ram_bytes")]
        if None not in gains:
            cells = [name, *(f"{gain}" for gain in gains), *(f"{share:.2f}" for share in shares)]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def _ratio(rows: Sequence[Row], rex: str, column: str) -> float | None:
    """The last number of a column, of the plain network's, over the seeds that both have."""
    of = {(row["run"], row["seed"]): numbers(row[column])[-1] for row in rows}
    seeds = [seed for run, seed in of if run == rex and (PLAIN, seed) in of]
    mine, plain = (sum(of[name, seed] for seed in seeds) for name in (rex, PLAIN))
    return mine / plain if seeds else None


def table(rows: Sequence[Row]) -> list[str]:
    """All exits, the stored policy, and the RAM, run by run."""
    lines = ["| network | seed | exits 1 ... 6, test images, % | with its policy | MACs | RAM |"]
    lines.append("| --- | ---: | --- | --- | ---: | ---: |")
    for row in rows:
        exits = " ".join(f"{100 * share:.1f}" for share in numbers(row["exits"]))
        stored = 100 * float(row["stored_accuracy"])
        lines.append(
            f"| {row['run']} | {row['seed']} | {exits} | "
            f"{stored:.1f} % at {int(row['stored_macs']) / 1e6:.1f} M | "
            f"{numbers(row['macs'])[-1] / 1e6:.1f} M | {int(row['ram_bytes']):,} |"
        )
    return lines
