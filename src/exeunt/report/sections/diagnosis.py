"""Numbers that expose trouble, as sections."""

from __future__ import annotations

from collections.abc import Sequence

from exeunt.evaluate import (
    ExitTable,
    Outcome,
    RatedSample,
    agreement,
    confusion,
    easiest,
    hardest,
    oracle,
    overthinking,
    reliability,
    wilson,
)
from exeunt.report.sections.policies import exits_heading, shares_cell
from exeunt.report.sections.scores import INTERVAL, shown_interval
from exeunt.report.sections.section import Row, Section
from exeunt.text import figure, millions, percent

MOST = 20  # lines of a table that could be as long as there are classes
NAMED = 10  # samples at either end
NEAR = 0.1  # standard deviations of the last exit's values within which values agree


def diagnosis_sections(
    table: ExitTable, outcome: Outcome, class_names: Sequence[str]
) -> list[Section]:
    """What goes wrong, where; for regression, agreement and the samples alone.

    Args:
        table: of any split.
        outcome: of the policy whose exits the classes are seen at.
        class_names: names of the K classes.
    """
    if table.task == "regression":
        spread = table.logits[-1].float().std(correction=0).item()
        shares = [_agreement(table, NEAR * spread)] if spread > 0 else []
        return [*shares, _samples(table, class_names)]
    return [
        _overthinking(table),
        _totals(table),
        _agreement(table, None),
        _classes(table, outcome, class_names),
        _mistaken(table, outcome, class_names),
        _samples(table, class_names),
    ]


def _overthinking(table: ExitTable) -> Section:
    found = overthinking(table)
    rows: list[Row] = []
    for k, (spoiled, mended) in enumerate(zip(found.spoiled, found.mended, strict=True)):
        diagram = reliability(table, k)
        rows.append(
            {
                "kind": "overthinking",
                "exit": k + 1,
                "spoiled": spoiled,
                "mended": mended,
                "calibration_error": diagram.ece,
            }
        )
    return Section(
        "overthinking: of all images, those right here and wrong at the last exit (spoiled), and\n"
        "the reverse (mended); calibration error: how far confidence is from accuracy, in 15 bins",
        rows,
        ["exit", "spoiled", "mended", "calibration error"],
        [[str(row["exit"]), *(percent(row[key]) for key in list(row)[2:])] for row in rows],
        "rrrr",
    )


def _totals(table: ExitTable) -> Section:
    found, best = overthinking(table), oracle(table)
    row = {
        "kind": "trouble",
        "destructive": found.destructive,
        "wasteful": found.wasteful,
        "wasted_macs": found.wasted_macs,
        "oracle_accuracy": best.accuracy,
        "oracle_macs": best.mean_macs,
        "oracle_saving": best.saving,
    }
    bound = f"{percent(best.accuracy)} at {millions(best.mean_macs)} MACs"
    return Section(
        "the whole net",
        [row],
        ["what depth costs", ""],
        [
            ["right at some exit, wrong at the last", percent(found.destructive)],
            ["right to the end from an earlier exit on", percent(found.wasteful)],
            ["MACs spent after that exit", percent(found.wasted_macs)],
            ["oracle, which leaves at the first exit that is right", bound],
        ],
        "lr",
    )


def _agreement(table: ExitTable, eta: float | None) -> Section:
    shares = agreement(table, eta).tolist()
    rows = [
        {"kind": "agreement", "exit": i + 1, "other": j + 1, "agreement": shares[i][j]}
        for i in range(len(shares))
        for j in range(i + 1, len(shares))
    ]
    numbers = [str(k + 1) for k in range(len(shares))]
    same = "the same class" if eta is None else f"values within {figure(eta)}"
    return Section(
        f"agreement: % of images of which two exits say {same}",
        rows,
        ["exit", *numbers],
        [
            [number, *(f"{100 * share:.1f}" for share in line)]
            for number, line in zip(numbers, shares, strict=True)
        ],
        "r" * (len(shares) + 1),
    )


def _classes(table: ExitTable, outcome: Outcome, class_names: Sequence[str]) -> Section:
    found = confusion(table, outcome)
    rows = []
    for c, (name, samples) in enumerate(zip(class_names, found.samples.tolist(), strict=True)):
        if not samples:
            continue
        low, high = wilson(int(found.counts[c, c]), samples)
        rows.append(
            {
                "kind": "class",
                "setting": outcome.policy.spec,
                "class": name,
                "images": samples,
                "accuracy": found.accuracy[c].item(),
                "accuracy_low": low,
                "accuracy_high": high,
                "mean_exit": found.mean_exit[c].item() + 1,
                "macs": found.mean_macs[c].item(),
                "exit_shares": found.exit_shares[c].tolist(),
            }
        )
    deepest = sorted(rows, key=lambda row: -row["mean_exit"])[:MOST]
    return Section(
        f"classes{_of_most(len(rows))}, those that go deepest first, and the % that left at each "
        f"exit; policy {outcome.policy.spec}",
        rows,
        ["class", "images", "accuracy", INTERVAL, "mean exit", "MACs", exits_heading(table)],
        [
            [
                row["class"],
                str(row["images"]),
                percent(row["accuracy"]),
                shown_interval(row, "accuracy"),
                f"{row['mean_exit']:.2f}",
                millions(row["macs"]),
                shares_cell(row["exit_shares"]),
            ]
            for row in deepest
        ],
        "lrrrrrr",
    )


def _mistaken(table: ExitTable, outcome: Outcome, class_names: Sequence[str]) -> Section:
    counts = confusion(table, outcome).counts
    rows = [
        {
            "kind": "mistaken",
            "setting": outcome.policy.spec,
            "class": class_names[i],
            "taken_for": class_names[j],
            "images": int(counts[i, j]),
        }
        for i, j in counts.nonzero().tolist()
        if i != j
    ]
    rows.sort(key=lambda row: -row["images"])
    return Section(
        f"the most frequent mistakes{_of_most(len(rows), NAMED)} at the exits taken",
        rows,
        ["class", "taken for", "images"],
        [[row["class"], row["taken_for"], str(row["images"])] for row in rows[:NAMED]],
        "llr",
    )


def _samples(table: ExitTable, class_names: Sequence[str]) -> Section:
    ends = {"hardest": hardest(table, NAMED), "easiest": easiest(table, NAMED)}
    rows = [
        {"kind": kind, "rank": rank, **_sample_row(table, sample, class_names)}
        for kind, samples in ends.items()
        for rank, sample in enumerate(samples, 1)
    ]
    if table.task == "regression":
        columns = ["", "image", "value", "error at the last exit"]
        title = "the hardest and the easiest images, by the error of the last exit"
    else:
        columns = ["", "image", "class", "right from exit", "mean probability"]
        title = "the hardest and the easiest images, by the exit from which they stay right"
    return Section(
        title,
        rows,
        columns,
        [[f"{row['kind']} {row['rank']}", row["name"], *_sample_cells(row)] for row in rows],
        "lll" + "r" * (len(columns) - 3),
    )


def _sample_row(table: ExitTable, sample: RatedSample, class_names: Sequence[str]) -> Row:
    if table.task == "regression":
        return {"name": sample.name, "value": sample.target, "error": sample.error}
    return {
        "name": sample.name,
        "class": class_names[int(sample.target)],
        "settled": None if sample.settled is None else sample.settled + 1,
        "probability": sample.probability,
    }


def _sample_cells(row: Row) -> list[str]:
    if "error" in row:
        return [figure(row["value"]), figure(row["error"])]
    settled = "never" if row["settled"] is None else str(row["settled"])
    return [row["class"], settled, percent(row["probability"])]


def _of_most(count: int, most: int = MOST) -> str:
    return f" ({most} of {count})" if count > most else ""
