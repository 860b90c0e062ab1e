"""Reliability diagrams, one for each exit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from exeunt.errors import ExeuntError
from exeunt.evaluate import Reliability
from exeunt.report.canvas import FAINT, INK, SOFT, head_figure, new_figure, plain_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 3
SURE, UNSURE = "#c0392b", "#3f6c94"  # too sure, and not sure enough
LARGEST = 130  # area of a mark, in square points


def reliability_figure(exits: Sequence[Reliability], title: str) -> Figure:
    """Draws a reliability diagram of each exit.

    A mark is a bin: its confidence and its accuracy, the larger the more samples; below the
    diagonal an exit is surer than it is right.

    Args:
        exits: From the first to the last (E).
        title: One sentence.

    Raises:
        ExeuntError: matplotlib is missing, or there is no exit.
    """
    if not exits:
        raise ExeuntError("there is no exit to draw")
    columns = min(COLUMNS, len(exits))
    rows = -(-len(exits) // columns)
    figure = new_figure(2.5 * columns + 0.5, 2.45 * rows + 0.75)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for k, axes in enumerate(grid.flat):
        if k < len(exits):
            _draw(axes, k, exits[k])
        else:
            axes.axis("off")
    for axes in grid[-1]:
        axes.set_xlabel("confidence (%)", color=INK)
    for axes in grid[:, 0]:
        axes.set_ylabel("accuracy (%)", color=INK)
    head_figure(figure, title)
    figure.supxlabel(
        "Area: number of images. Below the diagonal (red) an exit is surer than it is right.",
        fontsize=8.5,
        color=SOFT,
    )
    return figure


def _draw(axes: Axes, k: int, diagram: Reliability) -> None:
    plain_axes(axes, "", "")
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    axes.set_aspect("equal")
    axes.set_xticks([0, 50, 100])
    axes.set_yticks([0, 50, 100])
    axes.plot([0, 100], [0, 100], color=FAINT, linewidth=1)
    most = max(diagram.counts)
    for count, sure, right in zip(
        diagram.counts, diagram.mean_confidence, diagram.accuracy, strict=True
    ):
        if sure is None or right is None:
            continue
        color = SURE if sure > right else UNSURE
        x, y = 100 * sure, 100 * right
        axes.vlines(x, min(x, y), max(x, y), color=color, alpha=0.5, linewidth=1)
        axes.scatter(
            x,
            y,
            s=max(3.0, LARGEST * count / most),
            color=color,
            alpha=0.8,
            linewidths=0,
            zorder=3,
            clip_on=False,
        )
    axes.set_title(
        f"exit {k + 1}: error {100 * diagram.ece:.1f} points", fontsize=9.5, color=INK, loc="left"
    )
