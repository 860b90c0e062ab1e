"""At which exits the images of each class left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from exeunt.evaluate import Confusion
from exeunt.report.canvas import INK, SOFT, head_figure, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 24  # classes that a figure shows
BAR = 0.34  # inches
LABELLED = 0.07  # least share that has room for its number
DARK = 0.55  # luminance below which white text reads better


def classes_figure(found: Confusion, class_names: Sequence[str], title: str) -> Figure:
    """Draws the exits that each class took, and how much of it was right; the shallowest first.

    Of very many classes it shows those that leave first and those that go deepest.

    Args:
        found: As `confusion` gives it.
        class_names: Names of the K classes.
        title: One sentence.

    Raises:
        ExeuntError: matplotlib is missing.
    """
    order = [c for c in found.mean_exit.argsort(stable=True).tolist() if found.samples[c]]
    cut = len(order) > MOST
    if cut:
        order = order[: MOST // 2] + order[-(MOST // 2) :]
    figure = new_figure(7.2, BAR * len(order) + 1.6)
    axes = figure.add_subplot()
    exits = found.exit_shares.shape[1]
    for place, c in enumerate(order):
        y = place + (0.6 if cut and place >= MOST // 2 else 0)
        _draw_bar(axes, y, found.exit_shares[c].tolist())
        right = f"{100 * found.accuracy[c].item():.0f} %"
        axes.text(103, y, right, ha="left", va="center", color=INK, fontsize=9)
        name = _short(class_names[c], 22)
        axes.text(-1.5, y, name, ha="right", va="center", color=INK, fontsize=9, parse_math=False)
    axes.text(103, -0.85, "right", ha="left", va="center", color=SOFT, fontsize=9)
    axes.set_ylim(len(order) - 0.4 + (0.6 if cut else 0), -0.6)
    axes.set_xlim(0, 100)
    axes.set_yticks([])
    axes.set_xlabel("images of the class that left at each exit (%)", color=INK)
    axes.tick_params(colors=SOFT, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    from matplotlib.patches import Patch

    figure.legend(
        [Patch(color=_color(k, exits)) for k in range(exits)],
        [f"exit {k + 1}" for k in range(exits)],
        loc="outside lower center",
        ncols=min(exits, 8),
        frameon=False,
        fontsize=8.5,
        labelcolor=INK,
        handlelength=1,
        columnspacing=1.2,
    )
    head_figure(figure, title)
    return figure


def _draw_bar(axes: Axes, y: float, shares: Sequence[float]) -> None:
    left = 0.0
    for k, share in enumerate(shares):
        color = _color(k, len(shares))
        axes.barh(y, 100 * share, left=left, height=0.78, color=color, linewidth=0)
        if share >= LABELLED:
            red, green, blue = color
            dark = 0.3 * red + 0.59 * green + 0.11 * blue < DARK
            axes.text(
                left + 50 * share,
                y,
                f"{100 * share:.0f}",
                ha="center",
                va="center",
                color="white" if dark else INK,
                fontsize=8.5,
            )
        left += 100 * share


def _color(exit_index: int, exits: int) -> tuple[float, float, float]:
    """From light at the first exit to dark at the last."""
    from matplotlib import colormaps

    red, green, blue, _ = colormaps["YlGnBu"](0.15 + 0.8 * exit_index / max(1, exits - 1))
    return red, green, blue


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
