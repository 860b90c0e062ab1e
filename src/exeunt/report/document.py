"""One HTML file that needs nothing but a browser."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from importlib import resources
from pathlib import Path

from exeunt.files import replacing
from exeunt.report.payload import Payload

SCRIPTS = ("replay.js", "elements.js", "chart.js", "tables.js", "gallery.js", "page.js")


def write_report(path: str | Path, payload: Payload) -> None:
    """Writes a report; the file is replaced as a whole.

    Raises:
        OSError: The file cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(document(payload), encoding="utf-8", newline="\n")


def document(payload: Payload) -> str:
    """The page around a payload.

    Names of classes and files are text that anybody may have written. They enter as JSON in which
    no character means anything to an HTML parser, and the script shows them as text. A policy in
    the page forbids any other script and any request.
    """
    style = _part("page.css")
    script = "\n".join(_part(name) for name in SCRIPTS)
    policy = (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    )
    parts = {
        "policy": policy,
        "title": html.escape(payload.title.encode("utf-8", "replace").decode("utf-8")),
        "style": style,
        "payload": inert(payload.to_json()),
        "script": script,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], _part("page.html"))


def inert(text: str) -> str:
    """JSON in ASCII, so spelled that it can stand inside a script element, whatever it says."""
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _part(name: str) -> str:
    text = (resources.files("exeunt.report") / "page" / name).read_text(encoding="utf-8")
    return text.replace("\r\n", "\n")


def _hash(text: str) -> str:
    """How a Content-Security-Policy names an inline script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
