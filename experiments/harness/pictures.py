"""Pictures side by side with a line for each run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from exeunt.report.canvas import new_figure, plain_axes, write_figure
from harness.measure import numbers
from harness.results import Row


@dataclass(frozen=True)
class Panel:
    """One of the pictures.

    Attributes:
        y: column of a row, a list.
        y_label: of its axis.
        x: column of as many numbers; None counts from 1.
        x_label: of its axis.
        y_scale, x_scale: what the numbers are multiplied by.
    """

    y: str
    y_label: str
    x: str | None
    x_label: str
    y_scale: float = 1.0
    x_scale: float = 1.0


COST = "million multiply-adds, mean"
BY_COST = (
    Panel("exits", "test accuracy of each exit, %", "macs", COST, 100, 1e-6),
    Panel("k_accuracy", "by consistency, k = 1, 2, ..., %", "k_macs", COST, 100, 1e-6),
)
BUDGETS = (
    Panel("exits", "anytime, test accuracy, %", "macs", COST, 100, 1e-6),
    Panel("budget_accuracy", "budgeted batch, %", "budget_macs", COST, 100, 1e-6),
)
EPOCHS = (
    Panel("train_loss", "training loss", None, "epoch"),
    Panel("calibration_accuracy", "calibration accuracy, %", None, "epoch", 100),
)


def draw(rows: Sequence[Row], panels: Sequence[Panel], title: str, file: Path) -> None:
    """Draws the first seed of every run."""
    figure = new_figure(4 * len(panels), 4.2)
    figure.suptitle(title, fontsize=10)
    for axes, panel in zip(figure.subplots(1, len(panels)), panels, strict=True):
        plain_axes(axes, panel.x_label, panel.y_label)
        for row in (row for row in rows if row["seed"] == "0"):
            heights = [panel.y_scale * value for value in numbers(row[panel.y])]
            places: Sequence[float] = range(1, len(heights) + 1)
            if panel.x is not None:
                places = [panel.x_scale * value for value in numbers(row[panel.x])]
            marker = "o" if panel.x else None
            axes.plot(places, heights, marker=marker, markersize=3, label=row["run"])
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=7
    )
    write_figure(figure, file)
