"""`docs/networks.md` and its drawings are what the networks are today."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from exeunt.errors import ExeuntError
from exeunt.models import MODELS, list_models

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture(scope="module")
def maker(script: Callable[[Path], ModuleType]) -> ModuleType:
    """`docs/make_networks.py`, as a module."""
    return script(DOCS / "make_networks.py")


@pytest.mark.slow
def test_the_page_and_its_drawings_are_up_to_date(maker: ModuleType) -> None:
    wanted = maker.files()
    for name, text in wanted.items():
        there = (DOCS / name).read_text(encoding="utf-8") if (DOCS / name).exists() else None
        assert there == text, f"docs/{name} is out of date: run python docs/make_networks.py"
    drawings = {f"networks/{path.name}" for path in (DOCS / "networks").iterdir()}
    assert drawings == {*wanted} - {"networks.md"}
    page = wanted["networks.md"]
    assert {*re.findall(r"\]\(([^)]+)\)", page)} == drawings | {"#lazy-and-eager", "rex.md"}
    assert {*re.findall(r"`([a-z0-9_]+)`", page)} >= {*list_models()}


def test_a_network_without_entry_is_named(
    maker: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maker, "list_models", lambda: [*list_models(), "newnet"])
    with pytest.raises(ExeuntError, match=r'add it to a family.*Network\("newnet"'):
        maker.files()


def test_an_entry_without_network_is_named(
    maker: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maker, "list_models", lambda: list_models()[1:])
    with pytest.raises(ExeuntError, match=f"no network {list_models()[0]!r}"):
        maker.files()


def test_stale_drawings_are_removed(
    maker: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "networks").mkdir()
    (tmp_path / "networks" / "gone.svg").touch()
    monkeypatch.setattr(maker, "files", lambda: {"networks.md": "a\n", "networks/b.svg": "c"})
    maker.write(tmp_path)
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert found == {"networks.md", "networks/b.svg"}


def arguments(name: str) -> tuple[str, dict[str, Any]]:
    """The function behind a name, and all its arguments but the number of classes."""
    builder = MODELS[name].builder
    values = {key: value.default for key, value in inspect.signature(builder).parameters.items()}
    function = builder.func if isinstance(builder, partial) else builder
    return function.__name__, {**values, "num_classes": None}


def test_other_names_are_of_the_same_networks(maker: ModuleType) -> None:
    for family in maker.FAMILIES:
        for name, shown in family.also:
            assert arguments(name) == arguments(shown)
