"""What is drawn of milliseconds, read back from the drawing."""

from __future__ import annotations

import pytest

from exeunt.errors import ExeuntError
from exeunt.report.latency_figure import LatencySeries, latency_figure

EXITS = LatencySeries("net", ((1.0, 0.5), (2.0, 0.75), (4.0, 0.8)), {1: (1.5, 0.7), 2: (3.0, 0.79)})
PLAIN = LatencySeries("plain", ((3.5, 0.82),))


def test_exits_are_lines_counts_black_dots_and_plain_networks_dashed() -> None:
    figure = latency_figure({"here": [EXITS, PLAIN], "there": [PLAIN]}, "a title")
    left, right = figure.axes
    line, dots, dashed, mark = left.lines
    assert list(line.get_xdata()) == [1, 2, 4]
    assert line.get_ydata() == pytest.approx([50, 75, 80])
    assert dots.get_color() == "black"
    assert dots.get_linestyle() == "None"
    assert list(dots.get_xdata()) == [1.5, 3]
    assert dots.get_ydata() == pytest.approx([70, 79])
    assert [text.get_text() for text in left.texts] == ["k=1", "k=2"]
    assert dashed.get_linestyle() == "--"
    assert list(dashed.get_xdata()) == [0, 3.5]
    assert dashed.get_ydata() == pytest.approx([82, 82])
    assert list(mark.get_xdata()) == [3.5]
    assert right.lines[0].get_color() == dashed.get_color() != line.get_color()
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["here", "there"]
    legend = right.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["net", "plain"]


def test_nothing_to_draw() -> None:
    with pytest.raises(ExeuntError, match="nothing to draw"):
        latency_figure({"here": []}, "a title")


def test_many_engines_go_below_each_other() -> None:
    figure = latency_figure({name: [EXITS] for name in "abcd"}, "a title")
    assert len(figure.axes) == 4
    assert [axes.get_ylabel() for axes in figure.axes] == ["accuracy (%)", "", "", "accuracy (%)"]
