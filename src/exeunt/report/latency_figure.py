"""Accuracy against milliseconds, in the manner of Figure 4 of the ReX paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from exeunt.errors import ExeuntError
from exeunt.report.canvas import INK, SOFT, head_figure, new_figure, plain_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#1a7f5a", "#e5883f", "#3f6c94", "#c0392b", "#82769f", "#968e77")

ACROSS = 3
"""Engines beside each other; more go below."""

Point = tuple[float, float]
"""Milliseconds, and accuracy from 0 to 1."""


@dataclass(frozen=True)
class LatencySeries:
    """One network.

    Attributes:
        name: for the legend.
        exits: each of its exits alone, the first one first; one point for an ordinary network.
        counts: by agreements in a row, what they reach.
    """

    name: str
    exits: tuple[Point, ...]
    counts: dict[int, Point] = field(default_factory=dict)


def latency_figure(panels: Mapping[str, Sequence[LatencySeries]], title: str) -> Figure:
    """Draws every engine's networks side by side: exits as lines, counts of agreement as black
    dots, and ordinary networks as dashed lines at their accuracy, up to their milliseconds.

    Args:
        panels: by engine.
        title: one sentence.

    Raises:
        ExeuntError: matplotlib is missing, or there is nothing to draw.
    """
    if not any(panels.values()):
        raise ExeuntError("there is nothing to draw: no network has an accuracy")
    across = min(len(panels), ACROSS)
    down = -(-len(panels) // across)
    figure = new_figure(1.6 + 3.6 * across, 0.6 + 3.6 * down)
    names = list(dict.fromkeys(one.name for series in panels.values() for one in series))
    colors = {name: COLORS[k % len(COLORS)] for k, name in enumerate(names)}
    places = figure.subplots(down, across, sharey=True, squeeze=False).flat
    every = [next(places) for _ in panels]
    for unused in places:
        unused.remove()
    for axes, (engine, series) in zip(every, panels.items(), strict=True):
        first = axes.get_subplotspec().is_first_col()
        plain_axes(axes, "milliseconds of an image", "accuracy (%)" if first else "")
        axes.set_title(engine, loc="left", fontsize=9.5, color=SOFT)
        for one in series:
            _draw(axes, one, colors[one.name])
        axes.set_xlim(left=0)
    handles = {
        label: handle
        for axes in every
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    every[-1].legend(
        list(handles.values()),
        list(handles),
        loc="lower right",
        frameon=False,
        fontsize=8.5,
        labelcolor=INK,
    )
    head_figure(figure, title)
    return figure


def _draw(axes: Axes, one: LatencySeries, color: str) -> None:
    ms = [point[0] for point in one.exits]
    percent = [100 * point[1] for point in one.exits]
    if len(ms) == 1:
        axes.plot([0, *ms], percent * 2, "--", color=color, linewidth=1.4, label=one.name)
        axes.plot(ms, percent, "s", color=color, markersize=6)
        return
    axes.plot(ms, percent, "-o", color=color, markersize=4, linewidth=1.4, label=one.name)
    if one.counts:
        at = [(taken, 100 * accuracy) for taken, accuracy in one.counts.values()]
        axes.plot(*zip(*at, strict=True), "o", color="black", markersize=6, zorder=4)
        for k, place in zip(one.counts, at, strict=True):
            axes.annotate(
                f"k={k}", place, (0, -12), textcoords="offset points", fontsize=7.5, ha="center"
            )
