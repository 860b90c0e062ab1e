from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exeunt.data import SplitSpec, make_splits, open_source

Exeunt = Callable[..., Any]


def payload_of(page: Path) -> dict[str, Any]:
    text = page.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="payload">(.*?)</script>', text)
    assert found
    payload: dict[str, Any] = json.loads(found[1])
    return payload


def lines(text: str, kind: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, text.splitlines()) if line["kind"] == kind]


def test_the_page_holds_what_eval_measures(
    exeunt: Exeunt, weights: Path, images: Path, spec: SplitSpec, tmp_path: Path
) -> None:
    page = tmp_path / "new" / "report.html"
    run = exeunt("report", weights, images, "--out", page, "--thumbnails", 7)
    assert run.status == 0
    assert run.out == f"report: {page} ({page.stat().st_size / 1e6:.2f} MB)\n"
    assert [file.name for file in page.parent.iterdir()] == ["report.html"]
    found = payload_of(page)
    measured = lines(exeunt("eval", weights, images, "--json").out, "exit")
    assert [row["accuracy"] for row in found["exits"]] == [row["accuracy"] for row in measured]
    assert list(found["exit_macs"]) == [row["macs"] for row in measured]
    assert found["samples"] == 18
    assert found["classes"] == ["dots", "noise", "waves"]
    family, place = found["stored"]
    assert found["families"][family]["settings"][place]["spec"] == "consistency:1"
    assert "budget" in [family["name"] for family in found["families"]]
    test = sorted(sample.name for sample in make_splits(open_source(images), spec).test)
    assert len(found["gallery"]) == 7
    for shot in found["gallery"]:
        assert shot["name"] in test
    facts = {name: value for group in found["facts"] for name, value in group["facts"]}
    assert facts["licence"] == "made by the tests"
    assert facts["command"] == "exeunt train shapes"
    assert facts["fingerprint"].endswith(", the data of the training")


def test_limit_and_no_images(exeunt: Exeunt, weights: Path, images: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    run = exeunt("report", weights, images, "--out", page, "--limit", 6, "--thumbnails", 0)
    assert run.status == 0
    found = payload_of(page)
    assert (found["samples"], found["gallery"]) == (6, [])


def test_regression(exeunt: Exeunt, regression: Path, table_file: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert exeunt("report", regression, table_file, "--out", page, "--thumbnails", 3).status == 0
    found = payload_of(page)
    measured = lines(exeunt("eval", regression, table_file, "--json").out, "exit")
    assert [row["mae"] for row in found["exits"]] == [row["mae"] for row in measured]
    family, place = found["stored"]
    assert found["families"][family]["settings"][place]["spec"] == "consistency:1,eta=0.5"
    assert len(found["gallery"]) == 3


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--out", "report.pdf"), "--out report.pdf: the page is HTML"),
        (("--out", "r.html", "--thumbnails", "501"), "--thumbnails"),
        ((), "--out"),
    ],
)
def test_bad_options(
    arguments: tuple[str, ...], text: str, exeunt: Exeunt, weights: Path, images: Path
) -> None:
    run = exeunt("report", weights, images, *arguments)
    assert run.status == 2
    assert text in run.err


def test_other_classes_are_refused(
    exeunt: Exeunt, regression: Path, images: Path, tmp_path: Path
) -> None:
    run = exeunt("report", regression, images, "--out", tmp_path / "r.html")
    assert run.status == 2
    assert "the weights were made for regression" in run.err
    assert list(tmp_path.iterdir()) == []
