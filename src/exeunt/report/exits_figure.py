"""A picture of images in columns, one for each exit at which they left."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from exeunt.errors import ExeuntError
from exeunt.files import replacing
from exeunt.report.canvas import FAINT, INK, SOFT, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Inches
CARD, GAP, GROUP_GAP, MARGIN = 1.9, 0.25, 0.35, 0.35
NAME, LINE, BELOW = 0.25, 0.21, 0.35  # heights of a card's parts
NUMBER, PERCENT = 0.2, 0.5  # widths beside a bar
HEADER = 0.72
LEAST_WIDTH = 5.2
WIDE_ENOUGH = 7  # columns

TAKEN, BEFORE = "#8fd3c1", "#dfe9ee"
RIGHT, WRONG = "#1a7f5a", "#c0392b"


@dataclass(frozen=True)
class ClassifiedImage:
    """One image and what every exit said of it.

    Attributes:
        name: shown above the image.
        image: of any size; its centre square is shown.
        answers: what each of the E exits predicts.
        confidences: their probabilities, 0 to 1 (E); empty where there is no such thing.
        exit_index: the exit taken, counted from 0.
        expected: the right answer where it is known.
    """

    name: str
    image: Image.Image
    answers: tuple[str, ...]
    confidences: tuple[float, ...]
    exit_index: int
    expected: str | None = None

    @property
    def right(self) -> bool | None:
        """Whether the answer at the exit taken is right; None where that is not known."""
        return None if self.expected is None else self.answers[self.exit_index] == self.expected


def draw_exits(
    path: str | Path, shots: Sequence[ClassifiedImage], exit_macs: Sequence[int], title: str
) -> None:
    """Writes the picture as PNG, grouped by the exit taken, earliest first.

    Args:
        path: the file to write; replaced as a whole.
        shots: at least one.
        exit_macs: cumulative multiply-adds of every exit (E).
        title: one sentence.

    Raises:
        ExeuntError: when matplotlib is missing, or there is no shot.
        OSError: when the file cannot be written.
    """
    if not shots:
        raise ExeuntError("there is no image to draw")
    ordered = sorted(shots, key=lambda shot: shot.exit_index)
    groups = [list(group) for _, group in groupby(ordered, key=lambda shot: shot.exit_index)]
    columns = _columns([len(group) for group in groups])
    rows = max(-(-len(group) // n) for group, n in zip(groups, columns, strict=True))
    card_height = NAME + CARD + 0.08 + LINE * len(exit_macs) + BELOW
    content = sum(n * (CARD + GAP) - GAP for n in columns) + GROUP_GAP * (len(groups) - 1)
    width = max(LEAST_WIDTH, content + 2 * MARGIN)
    heading = textwrap.wrap(title, int((width - 2 * MARGIN) * 7.3))
    notes = textwrap.wrap(_note(shots), int((width - 2 * MARGIN) * 14.5))
    top = MARGIN + 0.3 * len(heading) + 0.2
    bottom = 0.17 * len(notes) + MARGIN
    height = top + HEADER + rows * card_height + bottom

    figure = new_figure(width, height, layout=None)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)  # inches from the top left corner
    axes.axis("off")
    for k, line in enumerate(heading):
        _text(axes, MARGIN, MARGIN + 0.3 * k, line, size=14, weight="bold")
    x = MARGIN
    for group, n in zip(groups, columns, strict=True):
        group_width = n * (CARD + GAP) - GAP
        _draw_header(axes, x, top, group_width, group, exit_macs, len(shots))
        for i, shot in enumerate(group):
            left = x + (i % n) * (CARD + GAP)
            _draw_card(axes, left, top + HEADER + (i // n) * card_height, shot)
        x += group_width + GROUP_GAP
    for k, line in enumerate(notes):
        _text(axes, MARGIN, height - bottom + 0.17 * k, line, color=SOFT)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    with replacing(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # names in scripts the font has not
        figure.savefig(temporary, format="png")


def _columns(counts: Sequence[int]) -> list[int]:
    """Columns of each group: as few rows as do not make the picture too wide for its height."""
    for rows in range(1, max(counts) + 1):
        columns = [-(-count // rows) for count in counts]
        if sum(columns) <= max(WIDE_ENOUGH, 2 * rows):
            return columns
    return [1] * len(counts)


def _note(shots: Sequence[ClassifiedImage]) -> str:
    bars = " Bars: softmax probability." if shots[0].confidences else ""
    return (
        "Below each image: the prediction after every exit, the one taken in bold. Exits in grey "
        f"were not run; they are computed for this picture only.{bars}"
    )


def _draw_header(
    axes: Axes,
    x: float,
    y: float,
    width: float,
    group: Sequence[ClassifiedImage],
    exit_macs: Sequence[int],
    total: int,
) -> None:
    k = group[0].exit_index
    axes.plot([x, x + width], [y, y], color=INK, linewidth=1.5)
    _text(axes, x, y + 0.1, f"exit {k + 1} of {len(exit_macs)}", size=11, weight="bold")
    images = "image" if total == 1 else "images"
    share = 100 * exit_macs[k] / exit_macs[-1]
    detail = f"{len(group)} of {total} {images}, {share:.0f} % of MACs"
    _text(axes, x, y + 0.34, detail, color=SOFT)


def _draw_card(axes: Axes, x: float, y: float, shot: ClassifiedImage) -> None:
    from matplotlib.patches import Rectangle

    mark, color = {None: ("", INK), True: ("✓ ", RIGHT), False: ("✗ ", WRONG)}[shot.right]
    _text(axes, x, y + 0.02, mark + _short(shot.name, 24), size=9, color=color)
    y += NAME
    pixels = np.asarray(ImageOps.fit(shot.image.convert("RGB"), (360, 360)))
    axes.imshow(pixels, extent=(x, x + CARD, y + CARD, y), aspect="auto", interpolation="lanczos")
    y += CARD + 0.08
    for k, answer in enumerate(shot.answers):
        taken, skipped = k == shot.exit_index, k > shot.exit_index
        left = x + NUMBER
        if shot.confidences and not skipped:
            length = (CARD - NUMBER - PERCENT) * shot.confidences[k]
            bar = TAKEN if taken else BEFORE
            axes.add_patch(Rectangle((left, y), length, LINE - 0.03, color=bar, linewidth=0))
        write = partial(
            _text, axes, color=FAINT if skipped else INK, weight="bold" if taken else "normal"
        )
        write(x, y + 0.02, str(k + 1))
        write(left + 0.06, y + 0.02, _short(answer, 17))
        if shot.confidences:
            number = f"{100 * shot.confidences[k]:.0f} %"
            write(x + CARD, y + 0.02, number, align="right")
        y += LINE


def _text(
    axes: Axes,
    x: float,
    y: float,
    text: str,
    *,
    size: float = 8.5,
    color: str = INK,
    weight: str = "normal",
    align: str = "left",
) -> None:
    axes.text(
        x,
        y,
        text,
        fontsize=size,
        color=color,
        weight=weight,
        ha=align,
        va="top",
        parse_math=False,
    )


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
