"""Letters that the default font of figures has not, from other fonts that are installed."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_log = logging.getLogger("exeunt")


def use_fonts_for(figure: Figure) -> None:
    """Lets texts of a figure fall back to installed fonts that have the letters its own has not.

    Letters that no font has are named once in a process, and drawn as boxes.
    """
    from matplotlib.font_manager import findfont
    from matplotlib.text import Text

    texts = [text for text in figure.findobj(Text) if not text.get_text().isascii()]
    for text in texts:
        letters = {letter for letter in text.get_text() if letter.isprintable() and letter != " "}
        missing = letters - _letters_of(findfont(text.get_fontproperties()))
        if missing:
            names, without = families_with(missing, _installed())
            text.set_fontfamily([*text.get_fontfamily(), *names])
            _warn("".join(sorted(without)))


def families_with(
    letters: Iterable[str], installed: Iterable[tuple[str, str]]
) -> tuple[list[str], set[str]]:
    """Fonts that together have the letters, each the one with most of what is still missing; and
    the letters that none has.

    Args:
        letters: That are wanted.
        installed: Names of fonts, and their files.
    """
    fonts, missing, names = list(installed), set(letters), list[str]()
    while missing:
        found = {name: missing & _letters_of(path) for name, path in fonts}
        best = max(found, key=lambda name: len(found[name]), default="")
        if not found.get(best):
            break
        names.append(best)
        missing -= found[best]
    return names, missing


def _installed() -> list[tuple[str, str]]:
    from matplotlib.font_manager import fontManager

    plain = (  # the font of last resort has boxes of its own for everything
        font
        for font in fontManager.ttflist
        if font.style == "normal" and not font.name.startswith("Last")
    )
    return sorted({(font.name, font.fname) for font in plain if Path(font.fname).exists()})


@cache
def _letters_of(path: str) -> frozenset[str]:
    from matplotlib.font_manager import get_font

    return frozenset(map(chr, get_font(path).get_charmap()))


@cache
def _warn(letters: str) -> None:
    if letters:
        _log.warning(
            "exeunt: warning: no installed font has %s; pictures show boxes there. Install one, "
            "such as Noto Sans CJK, and remove matplotlib's list of fonts (fontlist-*.json in %s)",
            letters,
            _cache_folder(),
        )


def _cache_folder() -> str:
    import matplotlib as mpl

    return mpl.get_cachedir()
