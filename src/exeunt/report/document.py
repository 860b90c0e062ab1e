"""One HTML file that needs nothing but a browser."""

from __future__ import annotations

from pathlib import Path

from exeunt.files import replacing
from exeunt.page import NOTHING, PagePart, inert, joined_page, part_text, shared_parts
from exeunt.report.payload import Payload

SCRIPTS = ("replay.js", "chart.js", "tables.js", "gallery.js", "page.js")


def write_report(path: str | Path, payload: Payload, part: PagePart = NOTHING) -> None:
    """Writes a report; the file is replaced as a whole.

    Raises:
        OSError: The file cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(document(payload, part), encoding="utf-8", newline="\n")


def document(payload: Payload, part: PagePart = NOTHING) -> str:
    """The page around a payload.

    Names of classes and files are text that anybody may have written. They enter as JSON in which
    no character means anything to an HTML parser, and the script shows them as text.

    Args:
        payload: What the report knows.
        part: What the page carries besides, in front of the card.
    """
    style, script = shared_parts()
    replay, *others = map(_part, SCRIPTS)
    return joined_page(
        _part("page.html"),
        payload.title,
        [style, part.style, _part("page.css")],
        [replay, script, *others, part.script],
        {"payload": inert(payload.to_json()), "part": part.markup},
        part.allowed,
    )


def _part(name: str) -> str:
    return part_text("exeunt.report", "page", name)
