"""Page and README say what `benchmarks/tiny.py` makes of the figures that are kept."""

from __future__ import annotations

import csv
import importlib
import json
import math
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "tiny"
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "tiny.md").read_text(encoding="utf-8")


@pytest.fixture
def figures() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "measured.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("tiny_page")


@pytest.fixture
def goals(page: ModuleType) -> ModuleType:
    return importlib.import_module("tiny_goals")


def cells(text: str, title: str) -> list[str]:
    """Of the first row of a table that begins with a title."""
    (line, *_) = (line for line in text.splitlines() if line.startswith(f"| {title} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_nothing_is_typed_by_hand(page: ModuleType, figures: dict[str, Any]) -> None:
    assert page.page(figures) == PAGE, "run python benchmarks/tiny.py"
    assert page.readme(README, figures) == README, "run python benchmarks/tiny.py"


def test_the_readme_begins_with_four_rows_of_it(figures: dict[str, Any]) -> None:
    table = README[README.index("\n| ") :].split("\n\n")[0]
    assert len(table.strip().splitlines()) == 2 + 4
    found = figures["networks"]["resnet8@32"]
    row = cells(README, "ResNet8")
    assert row[1:4] == [
        "32",
        f"**{found['ram_bytes']:,}**",
        f"{found['ram_bytes'] + 3 * 32 * 32:,}",
    ]
    assert row[-1] == f"{found['instructions'][-1] / 12_501_632:.2f}"


def test_figures_of_others_are_those_of_the_file(page: ModuleType) -> None:
    """KiB are 1024 bytes and kB 1000; each has a source."""
    with (FOLDER / "others.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(row["source"] and row["counted"] for row in rows)
    keys = {network.key for network in page.NETWORKS}
    assert {row["network"] for row in rows} <= keys
    (one,) = [r for r in rows if r["network"] == "resnet8@32" and r["value"] == "62.51"]
    assert f"| {one['who']} | {one['counted']} | {62.51 * 1024:,.0f} |" in PAGE
    (other,) = [r for r in rows if r["value"] == "260"]
    assert f"| {other['who']} | {other['counted']} | 260,000 |" in PAGE


def test_a_goal_is_met_or_missed_by_so_much(goals: ModuleType) -> None:
    goal = goals.Goal
    assert goal("RAM", "a", 100, 100, "bytes").verdict == "met"
    assert goal("RAM", "a", 110, 100, "bytes").verdict == "missed by 10.0%"
    assert goal("RAM", "a", 3.5, 2, "%").verdict == "missed by 1.50 points"
    assert goal("RAM", "a", 3.5, 2, "%", proved=True).verdict.startswith("met")
    assert goal("devices", "a", None, math.inf).verdict == "missed: not here"
    assert not goal("devices", "a", None, math.inf).met
    line = goal("instructions", "a net", 2.05, 1.45).line
    assert line == "instructions: a net: 2.05, goal at most 1.45: missed by 41.4%"


def test_what_was_not_measured_is_missed(goals: ModuleType, figures: dict[str, Any]) -> None:
    """A goal does not vanish with its figures; a network on aarch64 counts by what NEON takes."""
    every = goals.goals(figures)
    for part in ("devices", "cells", "neon", "processors"):
        fewer = goals.goals({key: kept for key, kept in figures.items() if key != part})
        lost = [g for g, before in zip(fewer, every, strict=True) if g != before]
        assert lost
        assert {g.verdict for g in lost} == {"missed: not here"}
    counts = {"macs": 10, "plain C": 40, "NEON": 15}
    found = goals.goals({**figures, "neon": {"rex_mobilenetv2_paper": counts}})
    (one,) = (g for g in found if g.area == "NEON" and g.found is not None)
    assert one.found == 1.5


def test_a_dial_counts_up_to_the_factor(goals: ModuleType, figures: dict[str, Any]) -> None:
    points = [[900, 1.0], [500, 1.3], [300, 2.0]]
    assert goals.smallest(points, 1) == 900
    assert goals.smallest(points, 1.99) == 500
    assert goals.smallest(points, 0.9) is None
    for goal in goals.goals(figures):
        verdict = re.escape(goal.verdict)
        assert re.search(rf"\| {re.escape(goal.what)} \| .* \| {verdict} \|", PAGE)
