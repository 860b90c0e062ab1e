"""The page on memory: output and pictures are there, its Python runs, and it names every key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from exeunt.backbone import attach_exits
from exeunt.profile import CONVENTIONS, ELEMENT_BYTES, Latency, Shares, profile

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "memory.md").read_text(encoding="utf-8")


def test_every_output_and_every_picture_is_there() -> None:
    blocks = re.findall(r"```text[^\n]*\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(blocks) == PAGE.count("```sh\n")
    assert all(block.strip() for block in blocks), "run python docs/make_memory.py"
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", PAGE)
    there = {
        path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs/memory").iterdir()
    }
    assert there == {*shown}
    for picture in shown:
        assert f"--plot docs/{picture}\n" in PAGE[: PAGE.index(f"({picture})")]


def test_every_program_is_there() -> None:
    programs = re.findall(r"^python (\S+)$", PAGE, flags=re.MULTILINE)
    assert len(programs) >= 3
    assert all((ROOT / program).exists() for program in programs)


def test_the_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    exec(compile(code, "memory.md", "exec"), {})
    exits, total, peak = capsys.readouterr().out.splitlines()
    assert exits.startswith("(")
    assert int(total) > 0
    assert " at stages." in peak


def keys(record: Any) -> set[str]:
    """All keys of a record, at any depth, but those that are names."""
    if isinstance(record, list):
        return {key for item in record for key in keys(item)}
    if not isinstance(record, dict):
        return set()
    names = {*CONVENTIONS, *ELEMENT_BYTES}
    found = {key for key in record if key not in names and not key.startswith("stages.")}
    return found | {key for value in record.values() for key in keys(value)}


def test_every_key_is_explained() -> None:
    net = attach_exits(nn.Sequential(nn.Conv2d(3, 2, 1)), [-1], 2, image_shape=(3, 4, 4))
    found = profile(net, 4).with_shares(Shares("full", 1, (1.0,))).to_dict()
    latency = Latency("eager", "cpu", "x", 1, 1, (1.0,), (1.0,), (1.0,))
    found["latency"] = {"eager": latency.to_dict()}
    prose = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
    explained = {*re.findall(r"[a-z_]+", " ".join(re.findall(r"`([^`]+)`", prose)))}
    missing = keys(found) - explained - {"kind", "Conv", "Linear"}
    assert not missing
