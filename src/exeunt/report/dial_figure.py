"""Bytes against multiply-adds: what memory can be bought for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from exeunt.profile.dial import DialPoint
from exeunt.report.canvas import INK, head_figure, new_figure, plain_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINE = "#1a7f5a"


def dial_figure(settings: Sequence[DialPoint], title: str) -> Figure:
    """Draws the settings of a dial, each with its bytes and its factor of multiply-adds.

    Args:
        settings: of one network and one type of number, at least one.
        title: one sentence.

    Raises:
        ExeuntError: matplotlib is missing.
    """
    figure = new_figure(6.4, 4.0)
    axes = figure.subplots()
    factors = [setting.factor for setting in settings]
    sizes = [setting.arena_bytes / 1024 for setting in settings]
    axes.plot(factors, sizes, color=LINE, marker="o", linewidth=1.5)
    for setting, factor, size in zip(settings, factors, sizes, strict=True):
        axes.annotate(
            f"{setting.arena_bytes:,} B",
            (factor, size),
            (5, 5),
            textcoords="offset points",
            color=INK,
            fontsize=8,
        )
    plain_axes(axes, "multiply-adds, as a factor of those of the plain network", "arena (KiB)")
    axes.margins(x=0.16, y=0.12)
    head_figure(figure, title)
    return figure
