"""A browser without a window."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def driver() -> Any:
    """The module beside this one."""
    spec = importlib.util.spec_from_file_location("browser", Path(__file__).with_name("browser.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A browser with one page; skips where there is no Chromium."""
    module = driver()
    program = module.find_browser()
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(module.BROWSERS)} is installed")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        opened = module.Browser(program, Path(home))
        try:
            opened.start()
            yield opened
        finally:
            opened.close()
