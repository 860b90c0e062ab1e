"""Figure 4 of the ReX paper: accuracy against milliseconds for k = 1 ... 5 answers that agree.

The accuracies, and where images leave, are those of Table 3's trainings; `experiments/latency.py`
measures how long the two networks take to each exit.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.claims import Claim, above
from harness.measure import listed, numbers
from harness.pictures import Panel
from harness.results import Row

TITLE = "ReX, Figure 4: accuracy against milliseconds"
RUNS = ("ReX", "original")
ENGINES = ("onnxruntime", "c", "torch")
COLUMNS = ("run", "engine", "min_ms", "median_ms", "image_size", "commit", "processor")
PANELS = tuple(
    Panel("k_accuracy", "by consistency, k = 1, 2, ..., %", f"{engine}_ms", f"ms, {engine}", 100)
    for engine in ENGINES
)


def timed(rows: Sequence[Row], latencies: Sequence[Row]) -> list[Row]:
    """Table 3's rows of the two networks, first seed, with the mean milliseconds for each k."""
    found = []
    for row in rows:
        if row["run"] not in RUNS or row["seed"] != "0":
            continue
        mine = [one for one in latencies if one["run"] == row["run"]]
        means = {f"{one['engine']}_ms": _means(row, numbers(one["min_ms"])) for one in mine}
        if len(means) == len(ENGINES):
            found.append(row | means)
    return found


def _means(row: Row, exit_ms: Sequence[float]) -> str:
    """For each k."""
    shares, exits = numbers(row["k_shares"]), len(exit_ms)
    parts = [shares[at : at + exits] for at in range(0, len(shares), exits)]
    return listed(
        sum(share * ms for share, ms in zip(part, exit_ms, strict=True)) for part in parts
    )


def claims(rows: Sequence[Row]) -> list[Claim]:
    """ReX over the original at equal milliseconds, of `timed` rows."""
    both = {row["run"]: row for row in rows}
    return [
        above(
            f"ReX is better at equal milliseconds, in {engine}",
            "above",
            *(both.get(run) for run in RUNS),
            f"{engine}_ms",
            "k_accuracy",
        )
        for engine in ENGINES
    ]
