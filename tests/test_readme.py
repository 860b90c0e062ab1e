"""What the README and the pages of docs/ say to type is typed here."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

import exeunt
from exeunt.cli import app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_the_python_runs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    exec(compile("\n".join(blocks("python")), "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("food 0.")
    concepts = (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8")
    exec(compile("\n".join(blocks("python", concepts)), "concepts.md", "exec"), {})
    out = capsys.readouterr().out
    assert "[(8, 10), (8, 10), (8, 10), (8, 10), (8, 10), (8, 10)]" in out


def test_what_recording_says_of_other_recordings_runs() -> None:
    page = (ROOT / "docs" / "recording.md").read_text(encoding="utf-8")
    (block,) = (text for text in blocks("python", page) if "from_logits" in text)
    names: dict[str, object] = {"exeunt": exeunt}
    exec(compile(block, "recording.md", "exec"), names)
    table = names["table"]
    assert isinstance(table, exeunt.ExitTable)
    assert (table.num_exits, len(table)) == (6, 8)


def commands() -> list[str]:
    texts = [README, *PAGES]
    lines = [line for text in texts for block in blocks("sh", text) for line in block.splitlines()]
    inline = re.findall(r"`(exeunt [^`]+)`", README)
    typed = [re.sub(r"^torchrun .*? -m (?=exeunt )", "", line) for line in [*lines, *inline]]
    return [line for line in typed if line.startswith("exeunt ")]


@pytest.mark.parametrize("line", commands())
def test_every_command_exists_with_its_options(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    while words[0] == "--import":  # the one option that stands before a verb
        words = words[2:]
    verb, *arguments = words
    group = typer.main.get_command(app)
    command = group.get_command(None, verb)  # type: ignore[attr-defined]
    assert command is not None, f"no verb {verb!r}"
    command.make_context(verb, arguments)


def test_every_make_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", "\n".join(blocks("sh")), flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def links() -> list[Path]:
    texts = {ROOT: [README], ROOT / "docs": PAGES}
    return [
        folder / path
        for folder, pages in texts.items()
        for page in pages
        for path in re.findall(r"\]\(([^)#:]+)\)", page)
    ]


@pytest.mark.parametrize("path", links(), ids=str)
def test_every_link_leads_somewhere(path: Path) -> None:
    assert path.exists()
