from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exeunt.errors import ExeuntError
from exeunt.report.exits_figure import ClassifiedImage, _columns, draw_exits

MACS = (10, 20, 40)
RED, BLUE = (255, 0, 0), (0, 0, 255)


def shot(color: tuple[int, int, int], k: int, expected: str | None = None) -> ClassifiedImage:
    image = Image.new("RGB", (50, 30), color)
    return ClassifiedImage("name", image, ("cat", "dog", "bird"), (0.3, 0.6, 0.9), k, expected)


def centre_of(path: Path, color: tuple[int, int, int]) -> tuple[float, float]:
    """Mean (x, y) of the pixels of about this colour."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    y, x = np.nonzero(np.abs(pixels - color).max(axis=2) < 12)
    assert len(x) > 1000
    return float(x.mean()), float(y.mean())


def test_an_image_that_left_earlier_stands_to_the_left(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    draw_exits(path, [shot(BLUE, 2), shot(RED, 0)], MACS, "two")
    red, blue = centre_of(path, RED), centre_of(path, BLUE)
    assert red[0] + 100 < blue[0]
    assert red[1] == pytest.approx(blue[1], abs=2)


def test_names_in_any_script_and_of_any_length(tmp_path: Path) -> None:
    odd = ClassifiedImage(
        "$x^{ 猫" * 20, Image.new("L", (1, 9)), ("$a_", "猫" * 90, ""), (), 1, "$a_"
    )
    draw_exits(tmp_path / "a.png", [odd], MACS, "$t^ " * 40)
    with Image.open(tmp_path / "a.png") as image:
        assert image.size[0] < 1000


def test_right_is_about_the_exit_taken() -> None:
    assert shot(RED, 1, "dog").right is True
    assert shot(RED, 2, "dog").right is False
    assert shot(RED, 2).right is None


@pytest.mark.parametrize(
    ("counts", "columns"),
    [([1], [1]), ([7], [7]), ([8], [4]), ([3, 4, 1, 1], [2, 2, 1, 1]), ([1] * 12, [1] * 12)],
)
def test_columns(counts: list[int], columns: list[int]) -> None:
    assert _columns(counts) == columns


@pytest.mark.parametrize("count", [1, 5, 30, 100])
def test_the_picture_is_neither_a_ribbon_nor_a_tower(count: int) -> None:
    columns = _columns([count // 2, count - count // 2]) if count > 1 else _columns([1])
    rows = max(-(-count // 2) // columns[-1], 1)
    assert sum(columns) <= max(7, 3 * rows)
    assert rows <= max(2, 2 * sum(columns))


def test_nothing_to_draw(tmp_path: Path) -> None:
    with pytest.raises(ExeuntError, match="no image"):
        draw_exits(tmp_path / "a.png", [], MACS, "none")


def test_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ExeuntError, match=r'pip install "exeunt\[demo\]"'):
        draw_exits(tmp_path / "a.png", [shot(RED, 0)], MACS, "one")
    assert not (tmp_path / "a.png").exists()
