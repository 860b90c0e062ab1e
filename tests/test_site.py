"""The site's pages are gathered whole; `make docs` builds them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import typer

import exeunt
from exeunt.cli import app

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture(scope="module")
def site(script: Callable[[Path], ModuleType]) -> ModuleType:
    return script(DOCS / "make_site.py")


@pytest.fixture(scope="module")
def gathered(site: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place: Path = tmp_path_factory.mktemp("site") / "docs"
    site.gather(place)
    return place


def test_every_page_is_there_and_links_stay_inside(gathered: Path) -> None:
    pages = {page.name: page.read_text(encoding="utf-8") for page in gathered.glob("*.md")}
    assert {page.name for page in DOCS.glob("*.md")} <= pages.keys()
    for name, text in pages.items():
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)\s]*)?\)", text):
            path = (gathered / target).resolve()
            assert path.exists(), f"{name}: {target}"
            assert path.is_relative_to(gathered)
    example = (gathered / "files/examples/rex_in_100_lines.py.md").read_text(encoding="utf-8")
    assert "def rex_patch(" in example


def test_every_command_and_every_public_name_is_described(gathered: Path) -> None:
    said = (gathered / "reference" / "cli.md").read_text(encoding="utf-8")
    group = typer.main.get_command(app)
    for name in group.list_commands(None):  # type: ignore[attr-defined]
        assert f"`exeunt {name}`" in said
    listed = re.findall(r"^\* \[`(\w+)`\]\(#exeunt-\w+\): (.*)$", said, re.M)
    assert [name for name, _ in listed] == group.list_commands(None)  # type: ignore[attr-defined]
    assert all(text.endswith(".") and "..." not in text for _, text in listed)
    named = re.findall(r"^::: exeunt\.(\w+)$", (gathered / "reference/python.md").read_text(), re.M)
    assert sorted(named) == sorted(name for name in exeunt.__all__ if not name.startswith("__"))


def test_guides_have_a_readers_order_and_new_ones_come_last(
    site: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert all((DOCS / page).exists() for page in site.GUIDES)
    assert site.guides().startswith(
        '[{"Your own images" = "data.md"}, {"Training" = "training.md"}'
    )
    monkeypatch.delitem(site.GUIDES, "data.md")
    assert site.guides().endswith(', "data.md"]')


def test_names_without_a_docstring_are_found(
    site: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(site.undocumented()) == []

    class Bare:
        """Says something."""

        def method(self) -> None:
            pass

    Bare.__module__ = "exeunt.bare"
    monkeypatch.setattr(exeunt, "Bare", Bare, raising=False)
    monkeypatch.setattr(exeunt, "__all__", [*exeunt.__all__, "Bare"])
    assert list(site.undocumented()) == ["Bare.method"]


@pytest.mark.parametrize(
    ("tag", "found"),
    [
        ('<script src="https://a.example/x.js"></script>', True),
        ('<link rel="stylesheet" href="//a.example/x.css">', True),
        ('<img src="pictures/a.png">', False),
        ('<a href="https://a.example">there</a>', False),
        ('<link rel="canonical" href="https://a.example">', False),
    ],
)
def test_what_a_page_loads_from_elsewhere(
    site: ModuleType, tmp_path: Path, tag: str, found: bool
) -> None:
    (tmp_path / "a.html").write_text(f"<html>{tag}</html>")
    assert bool(list(site.loaded_from_elsewhere(tmp_path))) == found
