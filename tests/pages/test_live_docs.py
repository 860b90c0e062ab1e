"""The page that lies in docs/: the net that ships, as this package would show it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from exeunt.export.web.page_part import SCRIPTS, STYLE
from exeunt.graph import build_graph
from exeunt.models import find_weights, load_weights
from exeunt.page import part_text

ROOT = Path(__file__).parents[2]
PAGE_IN_DOCS = ROOT / "docs" / "live.html"
NAME = "rex_mobilenetv2_075.imagenette"
MOST_BYTES = 4_000_000


def test_it_opens_and_passes_its_own_test(browser: Any) -> None:
    browser.resize(1280, 900)
    browser.open(PAGE_IN_DOCS)
    assert browser("live.ready") is True
    note = browser("document.getElementById('live-note').textContent")
    assert note == "Self-test: all 60 scores of a made-up image are those that Python found."
    assert browser.complaints == []
    assert browser.requests == []


def test_it_is_the_net_that_ships_in_a_page_of_this_package() -> None:
    text = PAGE_IN_DOCS.read_text(encoding="utf-8")
    assert len(text.encode()) < MOST_BYTES
    found = json.loads(text.split('id="live-data">')[1].split("</script>")[0])
    net, info = load_weights(find_weights(NAME))
    assert found["title"] == NAME
    assert found["classes"] == info.class_names
    assert found["transform"] == info.transform
    assert found["exit_macs"] == list(build_graph(net, 112).exit_macs)
    for name in (STYLE, *SCRIPTS):
        assert part_text("exeunt.export.web", "page", name) in text, f"{name} has changed"


def test_the_command_that_makes_it_stands_beside_it() -> None:
    page = (ROOT / "docs" / "live.md").read_text(encoding="utf-8")
    assert re.search(rf"^exeunt export {NAME} --target web .* --out docs/live.html$", page, re.M)
    assert "(live.html)" in page
