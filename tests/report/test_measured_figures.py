"""Figures of what was measured: what they show is read back from what was drawn."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from exeunt.errors import ExeuntError
from exeunt.evaluate import Confusion, Reliability
from exeunt.report.agreement_figure import agreement_figure
from exeunt.report.canvas import new_figure, write_figure
from exeunt.report.classes_figure import MOST, classes_figure
from exeunt.report.cost_figure import CostPoint, CostSeries, cost_figure
from exeunt.report.reliability_figure import SURE, UNSURE, reliability_figure

EXITS = CostSeries(
    "exits",
    (CostPoint(4e6, 0.7, (0.6, 0.75)), CostPoint(1e6, 0.5, (0.4, 0.6))),
)
POLICY = CostSeries("consistency", (CostPoint(2e6, 0.65),))


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_costs_are_drawn_in_their_units() -> None:
    figure = cost_figure([EXITS, POLICY], 4_000_000, "a title")
    (axes,) = figure.axes
    first, second = axes.lines
    assert list(first.get_xdata()) == [1, 4]  # millions, the cheapest first
    assert first.get_ydata() == pytest.approx([50, 70])
    assert second.get_ydata() == pytest.approx([65])
    assert (first.get_color(), first.get_marker()) != (second.get_color(), second.get_marker())
    bars = [
        part.get_segments()[0][:, 1].tolist()
        for part in axes.collections
        if isinstance(part, LineCollection)
    ]
    assert bars == [pytest.approx([40, 60]), pytest.approx([60, 75])]
    assert axes.get_xlabel() == "mean multiply-adds per image (M)"
    assert axes.get_ylabel() == "accuracy (%)"
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["exits", "consistency"]


def test_errors_keep_their_unit() -> None:
    figure = cost_figure([EXITS], 4_000_000, "a title", score="mae")
    assert figure.axes[0].lines[0].get_ydata() == pytest.approx([0.5, 0.7])
    assert "mean absolute error" in figure.axes[0].get_ylabel()


def test_nothing_to_draw() -> None:
    with pytest.raises(ExeuntError, match="nothing to draw"):
        cost_figure([CostSeries("exits", ())], 1, "a title")
    with pytest.raises(ExeuntError, match="no exit"):
        reliability_figure([], "a title")


def test_a_bin_is_a_mark_above_or_below_the_diagonal() -> None:
    # three bins: empty, surer than right, less sure than right and four times as full
    diagram = Reliability(
        0.125, (0, 1 / 3, 2 / 3, 1), (0, 10, 40), (None, 0.5, 0.8), (None, 0.3, 0.9)
    )
    figure = reliability_figure([diagram] * 4, "a title")
    drawn = [axes for axes in figure.axes if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in drawn] == [
        f"exit {k}: error 12.5 points" for k in (1, 2, 3, 4)
    ]
    marks = [part for part in drawn[0].collections if isinstance(part, PathCollection)]
    places = [part.get_offsets()[0].tolist() for part in marks]
    assert places == [pytest.approx([50, 30]), pytest.approx([80, 90])]
    small, large = (part.get_sizes()[0] for part in marks)
    assert large == pytest.approx(4 * small)
    colors = [to_hex(part.get_facecolor()[0], keep_alpha=False) for part in marks]
    assert colors == [SURE, UNSURE]


def test_every_share_stands_in_its_cell() -> None:
    shares = torch.tensor([[1.0, 0.75], [0.75, 1.0]], dtype=torch.float64)
    axes, bar = agreement_figure(shares, "a title").axes
    assert texts(axes) == ["100", "75", "75", "100"]
    assert bar.get_ylabel() == "images on which both agree (%)"
    assert agreement_figure(torch.ones(3, 3), "exits that always agree").axes


def confusion_of(exit_shares: torch.Tensor) -> Confusion:
    """Of classes with 10 samples each, a half of which are right."""
    classes, exits = exit_shares.shape
    return Confusion(
        counts=torch.zeros(classes, classes, dtype=torch.int64),
        samples=torch.full((classes,), 10),
        accuracy=torch.full((classes,), 0.5, dtype=torch.float64),
        exit_shares=exit_shares,
        mean_exit=exit_shares @ torch.arange(exits, dtype=exit_shares.dtype),
        mean_macs=torch.zeros(classes, dtype=torch.float64),
    )


def test_classes_are_ordered_by_their_depth() -> None:
    shares = torch.tensor([[0.2, 0.8], [0.96, 0.04]], dtype=torch.float64)
    (axes,) = classes_figure(confusion_of(shares), ["deep", "shallow"], "a title").axes
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([96, 4, 20, 80])
    assert texts(axes) == ["96", "50 %", "shallow", "20", "80", "50 %", "deep", "right"]


def test_of_many_classes_both_ends_are_shown() -> None:
    late = torch.linspace(0, 1, 100, dtype=torch.float64)
    names = [f"class {c}" for c in range(100)]
    (axes,) = classes_figure(confusion_of(torch.stack([1 - late, late], 1)), names, "many").axes
    shown = [text for text in texts(axes) if text.startswith("class")]
    assert shown == names[: MOST // 2] + names[-(MOST // 2) :]


def test_a_class_without_samples_is_left_out() -> None:
    found = confusion_of(torch.tensor([[1.0, 0.0], [float("nan")] * 2], dtype=torch.float64))
    found.samples[1] = 0
    (axes,) = classes_figure(found, ["here", "missing"], "a title").axes
    assert "missing" not in texts(axes)


@pytest.fixture
def figure() -> Figure:
    return cost_figure([EXITS, POLICY], 4_000_000, "odd $x^{ 猫")


def test_files_are_of_the_format_of_their_name(figure: Figure, tmp_path: Path) -> None:
    write_figure(figure, tmp_path / "new" / "a.png")
    write_figure(figure, tmp_path / "new" / "a.svg")
    with Image.open(tmp_path / "new" / "a.png") as image:
        assert image.size == (1036, 662)
    text = (tmp_path / "new" / "a.svg").read_text(encoding="utf-8")
    assert "mean multiply-adds per image (M)" in text
    assert "consistency" in text


def test_the_same_figure_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        write_figure(cost_figure([EXITS], 4_000_000, "a title"), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_other_formats_are_refused(figure: Figure, tmp_path: Path) -> None:
    with pytest.raises(ExeuntError, match=r"a\.gif.*\.png or \.svg"):
        write_figure(figure, tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ExeuntError, match=r'pip install "exeunt\[demo\]"'):
        new_figure(1, 1)
