"""Figure 7 of the ReX paper: accuracy against k, beside networks without internal exits."""

from __future__ import annotations

from collections.abc import Sequence

from harness.claims import UNCLEAR, Claim, Verdict, half_interval
from harness.measure import CLASSIFICATION, classification, numbers
from harness.results import Row
from harness.study import Run, Study

from studies.recipes import ADAMW, PAPER_FORM
from studies.table3 import STUDY as TABLE3

ALONE = {"original": "original, last exit alone", "ReX": "ReX, last exit alone"}
MODELS = {"original": ("mobilenetv2", {}), "ReX": ("rex_mobilenetv2", PAPER_FORM)}
STUDY = Study(
    "figure7",
    "ReX, Figure 7: how many exits have to agree",
    tuple(
        Run(ALONE[name], model, args, ADAMW | {"exits": "last"})
        for name, (model, args) in MODELS.items()
    ),
    TABLE3.scales,
    classification,
    CLASSIFICATION,
)


def claims(rows: Sequence[Row], base: Sequence[Row]) -> list[Claim]:
    """Whether accuracy rises and falls again with k, and is over the network without exits."""
    found = []
    for name, other in ALONE.items():
        with_exits = next((row for row in base if (row["run"], row["seed"]) == (name, "0")), None)
        alone = next((row for row in rows if row["run"] == other), None)
        found.append(_inverted(name, with_exits))
        found.append(_over(name, with_exits, alone))
    return found


def _inverted(name: str, row: Row | None) -> Claim:
    text = f"{name}: accuracy rises with k and falls again"
    if row is None:
        return Claim(text, "an inverted U", "", "not run yet")
    by_k = numbers(row["k_accuracy"])
    best = max(range(len(by_k)), key=by_k.__getitem__)
    fall = by_k[best] - by_k[-1]
    ours = f"best at k = {best + 1}, {100 * fall:.1f} points over k = {len(by_k)}"
    verdict: Verdict = "does not hold" if best in (0, len(by_k) - 1) else UNCLEAR
    if best not in (0, len(by_k) - 1) and fall > half_interval(row):
        verdict = "holds"
    return Claim(text, "an inverted U", ours, verdict, "one seed")


def _over(name: str, row: Row | None, alone: Row | None) -> Claim:
    text = f"{name}: with its best k better than trained without internal exits"
    if row is None or alone is None:
        return Claim(text, "above", "", "not run yet")
    gain = max(numbers(row["k_accuracy"])) - numbers(alone["exits"])[-1]
    verdict: Verdict = UNCLEAR
    if abs(gain) > half_interval(row):
        verdict = "holds" if gain > 0 else "does not hold"
    return Claim(text, "above", f"{100 * gain:+.1f} points", verdict, "one seed, k by test images")
