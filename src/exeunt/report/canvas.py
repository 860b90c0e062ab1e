"""What all figures share: matplotlib where it is installed, colours, and files of two formats."""

from __future__ import annotations

import textwrap
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from exeunt.errors import ExeuntError
from exeunt.files import replacing
from exeunt.report.fonts import use_fonts_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 144
FORMATS = ("png", "svg")
TITLE_LETTERS = 9.5  # to the inch

INK, SOFT, FAINT = "#1d2730", "#5b6670", "#a3acb5"
GRID, GROUND = "#e3e8ec", "#ffffff"


def new_figure(
    width: float, height: float, *, layout: Literal["constrained"] | None = "constrained"
) -> Figure:
    """An empty figure on white, so that it can be read on pages of any colour.

    Args:
        width: In inches.
        height: In inches.
        layout: How its parts find their places; None where all are placed by hand.

    Raises:
        ExeuntError: matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ExeuntError(
            'pictures need matplotlib; install it with pip install "exeunt[demo]"'
        ) from error
    return Figure(figsize=(width, height), dpi=DPI, facecolor=GROUND, layout=layout)


def check_figure(path: str | Path) -> str:
    """The format that a file's name ends in; refuses at once what `write_figure` would at the end.

    Raises:
        ExeuntError: The name ends in neither `.png` nor `.svg`, or matplotlib is missing.
    """
    ending = Path(path).suffix.lower().removeprefix(".")
    if ending not in FORMATS:
        raise ExeuntError(f"{str(path)!r}: figures are .png or .svg; give a name that ends so")
    new_figure(1, 1)
    return ending


def write_figure(figure: Figure, path: str | Path) -> None:
    """Writes a figure in the format that the file's name ends in; replaced as a whole.

    The same figure gives the same bytes. Text in SVG stays text, in the reader's sans-serif font.

    Raises:
        ExeuntError: The name ends in neither `.png` nor `.svg`.
        OSError: The file cannot be written.
    """
    import matplotlib as mpl

    ending = check_figure(path)
    with (
        replacing(path) as temporary,
        warnings.catch_warnings(),
        mpl.rc_context({"svg.hashsalt": "exeunt", "svg.fonttype": "none"}),
    ):
        warnings.filterwarnings("ignore", message="Glyph")  # boxes, of which a line tells
        use_fonts_for(figure)
        metadata = {"Date": None} if ending == "svg" else None
        figure.savefig(temporary, format=ending, metadata=metadata)


def head_figure(figure: Figure, title: str) -> None:
    """Puts a title above a figure, flush left, in as many lines as it needs."""
    lines = textwrap.fill(title, int(figure.get_figwidth() * TITLE_LETTERS))
    style = {"fontsize": 11.5, "color": INK, "weight": "bold"}
    figure.suptitle(lines, x=0.02, ha="left", parse_math=False, **style)


def plain_axes(axes: Axes, x: str, y: str) -> None:
    """Labels both axes, in quiet ink and without a box."""
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.tick_params(colors=SOFT, length=0)
    axes.set_axisbelow(True)
    axes.grid(color=GRID, linewidth=0.8)
    for spine in axes.spines.values():
        spine.set_visible(False)
