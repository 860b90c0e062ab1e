"""Who holds memory when: one bar for each tensor, and the peak explained."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from exeunt.errors import ExeuntError
from exeunt.profile import Memory, Profile, Span, short_path, spell_bytes
from exeunt.report.canvas import FAINT, GROUND, INK, SOFT, head_figure, new_figure, plain_axes

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAPS, IMAGE, KEPT, EXITS = "#5f8fba", "#c3a94e", "#e5883f", "#1a7f5a"
PALE = 0.38  # opacity of bars that are not there at the peak
ROLES = {  # of `Span.role`
    "image": ("the image", IMAGE),
    "maps": ("maps", MAPS),
    "kept": ("what operators keep between rows", KEPT),
    "exits": ("exits' tensors", EXITS),
}
STEPS = {
    "layerwise": "operators, in order",
    "streamed": "rows made or taken in, in order",
}
PANEL_WIDTH, PANEL_HEIGHT = 6.6, 3.5  # inches
LETTERS = 15.5  # of a sentence, to the inch
LETTER, LINE = 0.0098, 0.045  # of a name, as shares of a panel's width and height
NUMBER = 0.018  # of an exit's number, as a share of a panel's width
LINES = 2  # of a panel's sentence


def memory_figure(profiles: Sequence[Profile], title: str, dtype: str = "float32") -> Figure:
    """Draws memory over time, networks above each other and conventions side by side.

    Conventions that are plans are drawn, `layerwise` and `streamed`; where there is neither, the
    first that there is. Networks share the scale of a convention.

    Args:
        profiles: one or more, with the same conventions.
        title: one sentence.
        dtype: of the tensors.

    Raises:
        ExeuntError: matplotlib is missing, or no memory was planned for that dtype.
    """
    names = [m.convention for m in profiles[0].memories if m.dtype == dtype]
    if not names:
        raise ExeuntError(f"there is nothing to draw: no memory for {dtype}")
    shown = [name for name in names if name in STEPS] or names[:1]
    figure = new_figure(PANEL_WIDTH * len(shown) + 0.2, PANEL_HEIGHT * len(profiles) + 0.9)
    panels = figure.subplots(len(profiles), len(shown), sharey="col", squeeze=False)
    for column, convention in zip(panels.T, shown, strict=True):
        memories = [one.memory(convention, dtype) for one in profiles]
        top_bytes = max(memory.total_bytes for memory in memories)
        for axes, one, memory in zip(column, profiles, memories, strict=True):
            _draw(axes, memory, top_bytes)
            _head(axes, memory, one.model)
    _add_legend(figure)
    head_figure(figure, title)
    return figure


def _draw(axes: Axes, memory: Memory, top_bytes: int) -> None:
    """Draws the bars, the exits and the peak, on a scale up to `top_bytes`."""
    from matplotlib.patches import Rectangle

    unit, name = (1024**2, "MiB") if top_bytes >= 1024**2 else (1024, "KiB")
    plain_axes(axes, STEPS.get(memory.convention, "blocks, in order"), f"address ({name})")
    axes.tick_params(labelsize=8.5)
    steps, peak = len(memory.steps), memory.peak
    for span in memory.spans:
        there = span.first <= peak.step <= span.last
        bar = Rectangle(
            (span.first, span.offset_bytes / unit),
            span.last + 1 - span.first,
            span.size_bytes / unit,
            facecolor=ROLES[span.role][1],
            edgecolor="white",
            linewidth=0.3 if steps > 150 else 0.6,
            alpha=1 if there else PALE,
        )
        axes.add_patch(bar)
    _name_bars(axes, memory, top_bytes, unit)
    numbered = _apart(memory.exit_steps, NUMBER * steps)
    for k, step in enumerate(memory.exit_steps, 1):
        axes.axvline(step + 1, color=EXITS, linewidth=0.9)
        if step in numbered:
            axes.text(
                step + 1,
                1.005,
                str(k),
                transform=axes.get_xaxis_transform(),
                ha="center",
                va="bottom",
                fontsize=7.5,
                color=EXITS,
            )
    axes.axvline(peak.step + 0.5, color=INK, linewidth=0.9, linestyle=(0, (2, 2)))
    total = memory.total_bytes / unit
    axes.axhline(total, color=INK, linewidth=0.9)
    axes.annotate(
        spell_bytes(memory.total_bytes),
        (steps, total),
        xytext=(-4, 4),
        textcoords="offset points",
        bbox={"facecolor": GROUND, "edgecolor": "none", "pad": 0.6},
        ha="right",
        va="bottom",
        fontsize=8.5,
        color=INK,
        weight="bold",
    )
    axes.set_xlim(0, steps)
    axes.set_ylim(0, 1.09 * top_bytes / unit)


def _head(axes: Axes, memory: Memory, model: str) -> None:
    """Says above a panel what it shows, and explains the peak."""
    heading = f"{model}, {memory.convention}, {memory.dtype}"
    axes.set_title(heading, loc="left", fontsize=10, color=INK, weight="bold", pad=17 + 10 * LINES)
    sentence = f"Most at once: {short_path(str(memory.peak))}."
    lines = textwrap.wrap(sentence, int(PANEL_WIDTH * LETTERS), max_lines=LINES)
    axes.annotate(
        "\n".join(lines),
        (0, 1),
        xytext=(0, 14 + 10 * LINES),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="left",
        va="top",
        fontsize=7.5,
        color=SOFT,
    )


def _name_bars(axes: Axes, memory: Memory, top_bytes: int, unit: int) -> None:
    """Writes names into bars that have room for them, of a map's many rows into the middle one;
    and beside those that are narrow, but large and there at the peak. No name lies on another.
    """
    steps, high = len(memory.steps), LINE * top_bytes
    written: list[tuple[float, float, float]] = []  # from and to which step, and the address
    boxes: dict[str, list[Span]] = {}
    for span in memory.spans:
        boxes.setdefault(span.name, []).append(span)
    for name, spans in sorted(boxes.items(), key=lambda entry: -max(_bytes(s) for s in entry[1])):
        low = min(span.offset_bytes for span in spans)
        size = max(span.offset_bytes + span.size_bytes for span in spans) - low
        middle = sorted(spans, key=lambda span: span.offset_bytes)[len(spans) // 2]
        first, last = middle.first, middle.last + 1
        text, y = short_path(name), middle.offset_bytes + middle.size_bytes / 2
        width = LETTER * len(text) * steps
        if last - first >= width:
            start = (first + last - width) / 2
        elif first <= memory.peak.step < last:
            start = last + steps / 120
        else:
            continue
        free = all(
            start >= end or start + width <= begin or abs(y - other) >= high
            for begin, end, other in written
        )
        if size >= high and free and start + width <= steps:
            axes.text(start, y / unit, text, ha="left", va="center", fontsize=7, color=INK)
            written.append((start, start + width, y))


def _bytes(span: Span) -> int:
    return span.size_bytes


def _apart(places: Sequence[int], least: float) -> set[int]:
    """The places that are at least so far from each other, the first and the last among them."""
    kept: list[int] = list(places[:1])
    for place in places[1:-1]:
        if place - kept[-1] >= least and places[-1] - place >= least:
            kept.append(place)
    return {*kept, *places[-1:]}


def _add_legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Artist] = [Patch(color=color, label=name) for name, color in ROLES.values()]
    handles.append(Patch(color=FAINT, alpha=PALE, label="pale: not there at the peak"))
    handles.append(Line2D([], [], color=EXITS, linewidth=0.9, label="an exit"))
    handles.append(
        Line2D([], [], color=INK, linewidth=0.9, linestyle=(0, (2, 2)), label="the peak")
    )
    figure.legend(
        handles=handles,
        loc="outside lower left",
        ncols=4 if figure.get_figwidth() < 10 else 7,
        frameon=False,
        fontsize=8,
        labelcolor=INK,
    )
