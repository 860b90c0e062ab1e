"""Names in scripts that the usual font has not."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from matplotlib.font_manager import FontProperties, findfont
from PIL import Image

from exeunt.report import fonts
from exeunt.report.canvas import new_figure, write_figure
from exeunt.report.fonts import _letters_of, families_with

DEJAVU, STIX = (findfont(FontProperties(name)) for name in ("DejaVu Sans", "STIXGeneral"))
NOWHERE = "\U0010fffd"  # of the last private plane


def pixels(text: str, path: Path) -> np.ndarray:
    figure = new_figure(2, 1)
    figure.text(0.2, 0.4, text, fontsize=30)
    write_figure(figure, path)
    return np.asarray(Image.open(path))


def test_a_letter_is_drawn_by_a_font_that_has_it(tmp_path: Path) -> None:
    """Two letters that the usual font has not would be the same box."""
    letters = sorted(_letters_of(STIX) - _letters_of(DEJAVU))
    first, second = [letter for letter in letters if letter.isprintable()][:2]
    drawn = [pixels(letter, tmp_path / "a.png") for letter in (first, second, NOWHERE)]
    assert not np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


def test_the_fewest_fonts_are_taken() -> None:
    only = next(iter(_letters_of(STIX) - _letters_of(DEJAVU)))
    both = [("plain", DEJAVU), ("more", STIX)]
    assert families_with({"a", only}, both) == (["more"], set())
    assert families_with({only, NOWHERE}, both) == (["more"], {NOWHERE})
    assert families_with({NOWHERE}, both) == ([], {NOWHERE})


def test_what_no_font_has_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fonts, "_installed", lambda: [("DejaVu Sans", DEJAVU)])
    fonts._warn.cache_clear()
    with caplog.at_level(logging.WARNING, "exeunt"):
        for _ in range(2):
            pixels("日本", tmp_path / "a.png")
    (record,) = caplog.records
    assert "no installed font has 日本" in record.getMessage()
