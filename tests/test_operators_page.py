"""`docs/operators.md` says what is so today."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from exeunt.graph import operators
from exeunt.graph.operators import ACTIVATIONS, Operator

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture(scope="module")
def maker(script: Callable[[Path], ModuleType]) -> ModuleType:
    """`docs/make_operators.py`, as a module."""
    return script(DOCS / "make_operators.py")


@pytest.mark.slow
def test_the_page_is_up_to_date(maker: ModuleType) -> None:
    there = (DOCS / "operators.md").read_text(encoding="utf-8")
    assert maker.page() == there, "docs/operators.md is out of date: python docs/make_operators.py"


def test_every_operator_has_a_line(maker: ModuleType) -> None:
    """A class that is added to the graph is tried, too, and so is a function."""
    found = {kind for kind in vars(operators).values() if inspect.isclass(kind)}
    found = {k for k in found if issubclass(k, Operator) and not inspect.isabstract(k)}
    names = {kind.__name__ for kind in found} - {"Opaque", "UnloweredStage", "Composite"}
    samples = [module for lines in maker.SAMPLES.values() for _, module in lines]
    kinds, acts = set[str](), set[str]()
    for module in samples:
        tried = maker.tried(module)
        kinds |= {*tried.kinds}
        acts |= {*tried.acts}
    assert names <= kinds, f"no line for {', '.join(sorted(names - kinds))}"
    assert {*ACTIVATIONS} <= acts


def test_the_page_links_what_is_there() -> None:
    page = (DOCS / "operators.md").read_text(encoding="utf-8")
    files = re.findall(r"\]\(([^)#]+)\)", page)
    assert files
    assert all((DOCS / file).exists() for file in files)
