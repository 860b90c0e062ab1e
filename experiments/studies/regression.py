"""Regression with consistency (ReX paper, equation 11): by how much a digit was turned."""

from __future__ import annotations

from collections.abc import Sequence

from harness.claims import Claim, Verdict
from harness.measure import REGRESSION, numbers, regression
from harness.results import Row
from harness.study import Run, Scale, Study

from studies.recipes import ADAMW, PAPER_FORM

SETTINGS = {
    **{"image_size": 32, "epochs": 60, "batch_size": 64, "grey": True, "flip": False},
    **{"crop_scale": 1.0, "label_smoothing": 0.0, "data_licence": "MNIST"},
}
STUDY = Study(
    "regression",
    "ReX, equation 11: consistency of values",
    (Run("ReX", "rex_mobilenetv2", PAPER_FORM, ADAMW, seeds=(0, 1)),),
    {"small": Scale("digits", SETTINGS, 0.35), "paper": Scale("digits", SETTINGS, 1.0)},
    regression,
    REGRESSION,
)


def claims(rows: Sequence[Row]) -> list[Claim]:
    """Leaving by consistency against going through, in error and in cost."""
    text = "a value is as good by consistency as at the last exit, for less work"
    if not rows:
        return [Claim(text, "no figure", "", "not run yet")]
    row = rows[0]
    last, macs = numbers(row["exits"])[-1], numbers(row["macs"])[-1]
    pairs = list(zip(numbers(row["policy_mae"]), numbers(row["policy_macs"]), strict=True))
    good = [(spent, mae) for mae, spent in pairs if mae <= 1.02 * last]
    if not good:
        return [Claim(text, "no figure", f"no tolerance keeps {last:.2f}", "does not hold")]
    spent, mae = min(good)
    saved = 100 * (1 - spent / macs)
    ours = f"{mae:.2f} at {saved:.0f} % saved, {last:.2f} at the last exit"
    verdict: Verdict = "holds" if saved > 1 else "does not hold"
    return [Claim(text, "no figure", ours, verdict, "error at most 2 % larger")]
