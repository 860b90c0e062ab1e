"""Puts a page together: its markup, style, scripts and data in one HTML file."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

STYLE, SCRIPTS = "base.css", ("elements.js", "theme.js")


@dataclass(frozen=True)
class PagePart:
    """A part that several pages may carry.

    Attributes:
        markup: HTML, its data inert inside.
        style: of it.
        script: of it, behind the page's own.
        allowed: what a Content-Security-Policy has to allow scripts for it, such as
            `'wasm-unsafe-eval'`.
    """

    markup: str
    style: str
    script: str
    allowed: tuple[str, ...] = ()


NOTHING = PagePart("", "", "")


def joined_page(
    template: str,
    title: str,
    styles: Sequence[str],
    scripts: Sequence[str],
    markup: Mapping[str, str],
    allowed: Sequence[str] = (),
) -> str:
    """The page.

    A policy in it forbids any other script and any request.

    Args:
        template: with `{{policy}}`, `{{title}}`, `{{style}}`, `{{script}}` and the names of
            `markup` in place of what belongs there.
        title: text that anybody may have written.
        styles: joined, in order.
        scripts: likewise.
        markup: HTML, see `inert` for data in it.
        allowed: what scripts may do besides, in the words of a Content-Security-Policy.
    """
    style, script = "".join(styles), "\n".join(scripts)
    policy = (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src {_hash(style)}; script-src {' '.join([_hash(script), *allowed])}"
    )
    parts = {
        "policy": policy,
        "title": html.escape(title.encode("utf-8", "replace").decode("utf-8")),
        "style": style,
        "script": script,
        **markup,
    }
    return filled(template, parts)


def filled(template: str, parts: Mapping[str, str]) -> str:
    """A template with each `{{name}}` replaced by the part of that name, as it is."""
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], template)


def inert(text: str) -> str:
    """JSON in ASCII, so spelled that it can stand inside a script element, whatever it says."""
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def part_text(package: str, *path: str) -> str:
    """A file of a package, its lines ending in `\\n`."""
    text = resources.files(package).joinpath(*path).read_text(encoding="utf-8")
    return text.replace("\r\n", "\n")


def shared_parts() -> tuple[str, str]:
    """The style and the script that all pages begin with. The script asks for `E`, the number of
    exits, `full`, the multiply-adds up to the last, and `classifies`.
    """
    here = "exeunt.page"
    return part_text(here, STYLE), "\n".join(part_text(here, name) for name in SCRIPTS)


def _hash(text: str) -> str:
    """How a Content-Security-Policy names an inline script or style."""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
    return f"'sha256-{digest}'"
