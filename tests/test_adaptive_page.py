"""The page on adaptive prediction: pictures are there, and output goes where it belongs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from exeunt.errors import ExeuntError

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "adaptive.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def maker(script: Callable[[Path], ModuleType]) -> ModuleType:
    return script(DOCS / "make_adaptive.py")


def test_every_picture_is_there_and_drawn_by_a_command_above_it() -> None:
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", PAGE)
    assert len(shown) >= 6
    for picture in shown:
        folder = f"docs/{Path(picture).parent.as_posix()}"
        assert f"--plot {folder}\n" in PAGE[: PAGE.index(f"({picture})")], picture
    there = {path.relative_to(DOCS).as_posix() for path in (DOCS / "adaptive").rglob("*.*")}
    assert there == {*shown}, "run python docs/make_adaptive.py"


def test_every_output_is_there(maker: ModuleType) -> None:
    blocks = re.findall(r"```text[^\n]*\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(blocks) >= 5
    assert all(block.strip() for block in blocks), "run python docs/make_adaptive.py"


def test_output_goes_below_its_command(maker: ModuleType) -> None:
    page = """
Before.

```sh
exeunt info rex_mobilenetv2_035
```

```text
old
```

Between.

```sh
exeunt --version
```

```text 1-1
```

```sh
exeunt --version  # not shown
```

After.
"""
    made = maker.refreshed(page)
    assert "old" not in made
    printed = maker.run("exeunt info rex_mobilenetv2_035")
    assert f"```sh\nexeunt info rex_mobilenetv2_035\n```\n\n```text\n{printed}```\n" in made
    assert len(re.findall(r"^exeunt \d", made, flags=re.MULTILINE)) == 1
    assert maker.refreshed(made) == made
    for text in ("Before.", "Between.", "After.", "# not shown"):
        assert text in made


def test_lines_are_counted_from_one(maker: ModuleType) -> None:
    assert maker.cut("a\nb\nc\n", " 2-3") == "b\nc\n"
    assert maker.cut("a\nb\nc\n", "") == "a\nb\nc\n"


@pytest.mark.parametrize(
    ("command", "message"),
    [("exeunt info nothing", "failed:.*nothing"), ("rm -r x", "only exeunt")],
)
def test_what_cannot_be_run_is_named(maker: ModuleType, command: str, message: str) -> None:
    with pytest.raises(ExeuntError, match=message):
        maker.refreshed(f"```sh\n{command}\n```\n")
