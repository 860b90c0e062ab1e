"""What results look like in a notebook, and in a line."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import exeunt
from exeunt import Classifier, Confidence, ExitTable
from exeunt.chain import Block, chain
from exeunt.data import Transform
from exeunt.html import html_bars, html_facts, html_table
from exeunt.net import MultiExitNet
from exeunt.ops.exits import make_exit

CLASSES = ("cats & dogs", "<b>bold</b>", '"quoted"')


class Reader(HTMLParser):
    """Reads HTML, in which all that is opened must be closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.rows: list[list[str]] = []
        self.opacities: list[float] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "rect":
            self.opacities.append(float(dict(attrs)["opacity"] or 0))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def test_tables_hold_what_they_are_given() -> None:
    read = Reader(html_table(("a<b", "n"), [("x & y", "1"), ("<i>", "2")], "lr", "<script>"))
    assert read.rows == [["a<b", "n"], ["x & y", "1"], ["<i>", "2"]]
    assert "script" not in read.tags
    assert "i" not in read.tags
    assert Reader(html_facts([("k", "v")])).rows == [["k", "v"]]


def test_bars_are_as_tall_as_shares_and_faint_where_nothing_ran() -> None:
    text = html_bars([0.25, 1.0, 0.0], ["1", "2", "<3>"], "t", lit=2)
    assert Reader(text).opacities == [1, 1, 0.25]
    heights = [float(found) for found in re.findall(r'height="([\d.]+)" fill', text)]
    assert heights == [16, 64, 1]
    assert "&lt;3&gt;" in text


@pytest.fixture(scope="module")
def clf() -> Classifier:
    torch.manual_seed(0)
    blocks = [Block("a", nn.Conv2d(3, 4, 3, 2), 4), Block("b", nn.Conv2d(4, 4, 3), 4)]
    stages = chain(blocks, [0], lambda _, channels: make_exit("pooled", channels, 3))
    return Classifier(MultiExitNet(stages, 3), transform=Transform((12, 12)), class_names=CLASSES)


@pytest.fixture(scope="module")
def table() -> ExitTable:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(2, 2000, 3, generator=generator)
    return ExitTable.from_logits(
        logits, torch.arange(2000) % 3, [100, 400], split="calibration", class_names=CLASSES
    )


MAKERS: dict[str, Callable[[Classifier, ExitTable], Any]] = {
    "classifier": lambda clf, table: clf,
    "calibrated": lambda clf, table: clf.calibrate(table, policy="confidence:0.9"),
    "answer": lambda clf, table: clf.predict(np.zeros((12, 12, 3), np.uint8), top=3),
    "outcome": lambda clf, table: exeunt.replay(table, Confidence(0.9)),
    "table": lambda clf, table: table,
    "measurement": lambda clf, table: clf.evaluate(table),
    "calibration": lambda clf, table: clf.calibrate(table, budget_fraction=0.9).calibration,
    "guarantee": lambda clf, table: clf.calibrate(table, max_accuracy_drop=0.5).calibration,
    "profile": lambda clf, table: clf.profile(conventions=["layerwise"]),
    "benchmark": lambda clf, table: clf.bench(["torch"], runs=2),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_results_are_shown_small(kind: str, clf: Classifier, table: ExitTable) -> None:
    shown = MAKERS[kind](clf, table)
    assert len(repr(shown)) < 600
    assert "tensor" not in repr(shown)
    text = shown._repr_html_()
    assert "<b>" not in text
    assert len(text) < 20_000
    assert "table" in Reader(text).tags


def test_an_answer_says_where_it_left(clf: Classifier) -> None:
    answer = clf.predict(np.zeros((12, 12, 3), np.uint8), policy="confidence:0", top=2)
    read = Reader(answer._repr_html_())
    assert read.opacities == [1, 0.25]
    assert {name for name, _ in read.rows[:2]} <= set(CLASSES)
    assert ["left at", "exit 1 of 2, by confidence:0"] in read.rows


def test_an_outcome_is_its_figures(table: ExitTable) -> None:
    outcome = exeunt.replay(table, Confidence(0.9))
    early = (table.logits[0].softmax(1).amax(1) >= 0.9).double().mean()
    assert f"saving {75 * early:.1f} %" in repr(outcome)
    assert "samples 2000" in repr(outcome)
    texts = Reader(outcome._repr_html_()).rows
    assert ["accuracy", f"{100 * (outcome.accuracy or 0):.1f} %"] in texts


def test_what_infer_gives_is_a_line(clf: Classifier) -> None:
    found = exeunt.infer(clf.net, torch.zeros(5, 3, 12, 12), exeunt.Full())
    assert repr(found) == "Prediction(5 samples, rows=(5, 5))"
