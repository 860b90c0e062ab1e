"""How right a net is against what that costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from exeunt.errors import ExeuntError
from exeunt.report.canvas import INK, SOFT, head_figure, new_figure, plain_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Told apart by colour, by mark and by lightness
STYLES = (
    ("#1d2730", "o"),
    ("#e5883f", "s"),
    ("#1a7f5a", "^"),
    ("#3f6c94", "D"),
    ("#c0392b", "v"),
    ("#82769f", "P"),
    ("#968e77", "X"),
    ("#5f8fba", "*"),
)

DENSE = 16  # points, from which on their marks are small


@dataclass(frozen=True)
class CostPoint:
    """One setting.

    Attributes:
        macs: Mean multiply-adds per sample.
        score: Accuracy, 0 to 1, or mean absolute error.
        interval: The ends of the score's interval, where they are to be drawn.
    """

    macs: float
    score: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class CostSeries:
    """Settings of one kind.

    Attributes:
        name: For the legend.
        points: At least one, in any order.
        joined: By a line, from the cheapest to the dearest.
        bound: What cannot be beaten: dashed, without marks.
    """

    name: str
    points: tuple[CostPoint, ...]
    joined: bool = True
    bound: bool = False


def cost_figure(
    series: Sequence[CostSeries], full_macs: int, title: str, *, score: str = "accuracy"
) -> Figure:
    """Draws scores against mean multiply-adds.

    Args:
        series: At least one with points.
        full_macs: Multiply-adds of the whole net.
        title: One sentence.
        score: "accuracy", shown in %, or "mae", in the units of the values.

    Raises:
        ExeuntError: matplotlib is missing, or there is nothing to draw.
    """
    if not any(one.points for one in series):
        raise ExeuntError("there is nothing to draw: no series has points")
    figure = new_figure(7.2, 4.6)
    axes = figure.add_subplot()
    scale = 100 if score == "accuracy" else 1
    y_name = "accuracy (%)" if score == "accuracy" else "mean absolute error (units of the values)"
    plain_axes(axes, "mean multiply-adds per image (M)", y_name)
    styles = iter(STYLES * (1 + len(series) // len(STYLES)))
    for one in series:
        points = sorted(one.points, key=lambda point: point.macs)
        x = [point.macs / 1e6 for point in points]
        y = [scale * point.score for point in points]
        if one.bound:
            axes.plot(x, y, "--", color=SOFT, linewidth=1.2, label=one.name)
            continue
        color, mark = next(styles)
        size = 5.5 if len(points) < DENSE else 3
        form = f"-{mark}" if one.joined else mark
        axes.plot(x, y, form, color=color, markersize=size, linewidth=1.4, label=one.name)
        for at, point in zip(x, points, strict=True):
            if point.interval is not None:
                low, high = (scale * end for end in point.interval)
                axes.vlines(at, low, high, color=color, alpha=0.35, linewidth=1.4)
    share = 100e6 / full_macs  # % of the net in a million
    to_share = (lambda x: np.asarray(x, float) * share, lambda x: np.asarray(x, float) / share)
    top = axes.secondary_xaxis("top", functions=to_share)
    top.set_xlabel("of the whole net (%)", color=SOFT)
    top.tick_params(colors=SOFT, length=0)
    top.spines["top"].set_visible(False)
    axes.legend(
        loc="lower right" if score == "accuracy" else "upper right",  # where no curve goes
        frameon=False,
        fontsize=8.5,
        labelcolor=INK,
    )
    head_figure(figure, title)
    return figure
