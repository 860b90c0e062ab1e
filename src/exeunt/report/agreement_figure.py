"""How often exits say the same, as a matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from exeunt.report.canvas import INK, SOFT, head_figure, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LIGHT_FROM = 0.6  # of the way through the colours, where white text reads better


def agreement_figure(shares: Tensor, title: str) -> Figure:
    """Draws the matrix that `agreement` gives.

    Args:
        shares: Of samples on which exits i and j agree, 0 to 1 (E E).
        title: One sentence.

    Raises:
        ExeuntError: matplotlib is missing.
    """
    exits = len(shares)
    side = max(3.4, 0.55 * exits)
    figure = new_figure(side + 1.2, side + 0.7)
    axes = figure.add_subplot()
    least = shares.min().item()
    image = axes.imshow(100 * shares.numpy(), cmap="Blues", vmin=100 * least, vmax=100)
    for i, row in enumerate(shares.tolist()):
        for j, share in enumerate(row):
            place = (share - least) / (1 - least) if least < 1 else 1.0
            color = "white" if place > LIGHT_FROM else INK
            axes.text(j, i, f"{100 * share:.0f}", ha="center", va="center", color=color, fontsize=9)
    axes.set_xticks(range(exits), [str(k + 1) for k in range(exits)])
    axes.set_yticks(range(exits), [str(k + 1) for k in range(exits)])
    axes.tick_params(colors=SOFT, length=0)
    axes.set_xlabel("exit", color=INK)
    axes.set_ylabel("exit", color=INK)
    for spine in axes.spines.values():
        spine.set_visible(False)
    bar = figure.colorbar(image, ax=axes, shrink=0.85)
    bar.set_label("images on which both agree (%)", color=INK)
    bar.ax.tick_params(colors=SOFT, length=0)
    bar.outline.set_visible(False)
    head_figure(figure, title)
    return figure
