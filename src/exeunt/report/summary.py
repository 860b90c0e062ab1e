"""A network with weights on a few lines, for notebooks."""

from __future__ import annotations

from exeunt.html import html_bars, html_facts, html_table
from exeunt.report.sections.section import Row
from exeunt.text import figure, millions, percent, short_spec
from exeunt.trained import TrainedModel

_MOST = 12  # classes that are named


def summary_html(trained: TrainedModel, name: str) -> str:
    """What it is, what its exits cost, and the figures that the weights carry of each split."""
    info, classes = trained.info, trained.info.class_names
    height, width = trained.transform.image_size
    more = "" if len(classes) <= _MOST else f", and {len(classes) - _MOST} more"
    facts = [
        ("model", name),
        ("answers", ", ".join(classes[:_MOST]) + more if classes else "one value"),
        ("input", f"{height} x {width} pixels, {trained.transform.mode}"),
        ("policy", short_spec(info.policy)),
        ("trained on", info.of_data("name")),
    ]
    full = trained.exit_macs[-1]
    shares = [macs / full for macs in trained.exit_macs]
    names = [millions(macs) for macs in trained.exit_macs]
    shown = html_facts(facts) + html_bars(shares, names, "multiply-adds up to each exit")
    if info.metrics:
        exits = [f"exit {k}" for k in range(1, len(names) + 1)]
        columns = ("split", "images", *exits, "policy", "saving")
        rows = [_row(split, figures, len(names)) for split, figures in info.metrics.items()]
        align = "lr" + "r" * (len(names) + 2)
        shown += html_table(columns, rows, align, _score(info.metrics))
    return shown


def _score(metrics: Row) -> str:
    """Of the figures."""
    first = next(iter(metrics.values()))["exits"][0]
    return "accuracy" if "accuracy" in first else "mean absolute error"


def _row(split: str, figures: Row, num_exits: int) -> list[str]:
    policy = figures.get("policy")
    exits = [_spelled(row) for row in figures["exits"]]
    exits += ["-"] * (num_exits - len(exits))
    end = ["-", "-"] if policy is None else [_spelled(policy), percent(policy["saving"])]
    return [split, str(figures["samples"]), *exits[:num_exits], *end]


def _spelled(row: Row) -> str:
    return percent(row["accuracy"]) if "accuracy" in row else figure(row["mae"])
