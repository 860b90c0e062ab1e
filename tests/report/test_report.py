"""What a report holds, without a browser: its numbers, its size, and text that means harm."""

from __future__ import annotations

import base64
import io
import json
import math
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from exeunt.calibrate import geometric_policies
from exeunt.errors import ExeuntError
from exeunt.evaluate import ExitTable, exit_rows, replay, sweep
from exeunt.policies import (
    Confidence,
    Consistency,
    Entropy,
    Every,
    Full,
    Margin,
    Policy,
    parse_policy,
)
from exeunt.report.document import document, write_report
from exeunt.report.gallery import SIDE_PX, Thumbnail, choose, shrink
from exeunt.report.payload import Payload, payload
from exeunt.report.policy_families import families_of, rules_of

HOSTILE = '</script><script>alert("1")</script>{{script}}&lt;<!--\u2028\udcff'


def make_table(
    samples: int = 60, exits: int = 4, classes: int = 3, split: str = "test"
) -> ExitTable:
    """Exits that mostly agree and get surer; one class is regression."""
    generator = torch.Generator().manual_seed(samples)
    noise = torch.randn(exits, samples, classes, generator=generator)
    regression = classes == 1
    return ExitTable(
        logits=2 * noise.cumsum(dim=0),
        targets=torch.randn(samples, generator=generator)
        if regression
        else torch.randint(classes, (samples,), generator=generator),
        task="regression" if regression else "classification",
        exit_macs=tuple(1_000_003 * (k + 1) for k in range(exits)),
        names=tuple(f"{row}.png" for row in range(samples)),
        split=split,
        weights_fingerprint="w",
        data_fingerprint="d",
    )


STORED = Confidence(0.8)


def make_payload(table: ExitTable, stored: Policy = STORED, **changes: Any) -> Payload:
    classes = table.logits.shape[2]
    arguments: dict[str, Any] = {
        "title": "a net",
        "summary": "Measured.",
        "class_names": [] if classes == 1 else [f"class {index}" for index in range(classes)],
        "stored": stored,
    }
    return payload(table, **(arguments | changes))


def unpacked(packed: dict[str, str]) -> np.ndarray:
    dtype = {"u8": "<u1", "u16": "<u2", "f32": "<f4"}[packed["type"]]
    return np.frombuffer(base64.b64decode(packed["data"]), dtype)


def page_exits(page: dict[str, Any], rules: list[dict[str, Any]] | None) -> list[int]:
    """The exit of every sample, from what is in the page alone, in plain Python."""
    samples, exits = page["samples"], len(page["exit_macs"])
    predictions = unpacked(page["predictions"]).reshape(exits, samples)
    readings = {key: unpacked(packed) for key, packed in page["readings"].items()}

    def leaves(rule: dict[str, Any], k: int, n: int) -> bool:
        if "agreements" in rule:
            run = 0
            for now in range(1, k + 1):
                ours, before, eta = predictions[now, n], predictions[now - 1, n], rule["eta"]
                agree = ours == before if eta is None else abs(ours - before) < np.float32(eta)
                run = run + 1 if agree else 0
            return run >= rule["agreements"]
        threshold = rule["thresholds"][k]
        if threshold is None:
            return False
        value = readings[rule["reading"]][k * samples + n]
        at = np.float32(threshold)
        return bool(value >= at if rule["sign"] == ">=" else value <= at)

    return [
        next(
            (
                k
                for k in range(exits - 1)
                if rules is not None and all(leaves(r, k, n) for r in rules)
            ),
            exits - 1,
        )
        for n in range(samples)
    ]


@pytest.mark.parametrize("classes", [1, 3])
def test_every_setting_leads_to_the_exits_of_replay(classes: int) -> None:
    table = make_table(classes=classes)
    stored = Consistency(2, eta=0.7) if classes == 1 else Confidence(0.77)
    budgets = (
        []
        if classes == 1
        else sweep(calibration := make_table(split="calibration"), geometric_policies(calibration))
    )
    page = json.loads(make_payload(table, stored, budgets=budgets).to_json())
    shown = set()
    for family in page["families"]:
        for setting in family["settings"]:
            expected = replay(table, parse_policy(setting["spec"])).exit_index.tolist()
            assert page_exits(page, setting["rules"]) == expected, setting["spec"]
            shown.add(tuple(expected))
    assert len(shown) > 20, "the settings must differ for this test"
    family, place = page["stored"]
    assert page["families"][family]["settings"][place]["spec"] == stored.spec


@pytest.mark.parametrize(
    "stored",
    [
        Full(),
        Every((Consistency(1), Confidence(0.6))),
        Confidence((0.9, math.inf, 0.5), (1.5, 1.2, 0.8)),
        Margin(0.3, 2.0),
        Entropy((0.2, 0.4)),
    ],
    ids=lambda policy: policy.spec,
)
def test_any_stored_policy_has_a_place(stored: Policy) -> None:
    table = make_table()
    page = json.loads(make_payload(table, stored).to_json())
    family, place = page["stored"]
    setting = page["families"][family]["settings"][place]
    assert setting["spec"] == stored.spec
    assert page_exits(page, setting["rules"]) == replay(table, stored).exit_index.tolist()


def test_thresholds_are_compared_in_float32() -> None:
    """0.7 is above the float32 next to it, which replay takes for reached; so must the page."""
    logits = torch.tensor([0.7, 0.3]).log().expand(2, 1, 2).clone()
    table = ExitTable(logits, torch.tensor([0]), "classification", (1, 2), ("a",), "test", "w", "d")
    reached = Confidence(table.logits[0].softmax(dim=1).max().item()).threshold
    assert isinstance(reached, float)
    above = reached + 1e-9  # rounds to the same float32
    page = json.loads(make_payload(table, Confidence(above)).to_json())
    family, place = page["stored"]
    assert replay(table, Confidence(above)).exit_index.tolist() == [0]
    assert page_exits(page, page["families"][family]["settings"][place]["rules"]) == [0]


def test_settings_run_from_cheap_to_dear() -> None:
    table = make_table(200)
    for family in families_of(table, Confidence(0.333)):
        costs = [replay(table, setting.policy).mean_macs for setting in family.settings]
        assert costs == sorted(costs), family.name
        assert costs[0] < costs[-1]


def test_scores_are_those_of_the_table() -> None:
    table = make_table()
    page = json.loads(make_payload(table).to_json())
    rows = exit_rows(table)
    assert [exit_["accuracy"] for exit_ in page["exits"]] == [row.accuracy for row in rows]
    assert [exit_["oracle"] for exit_ in page["exits"]] == [row.oracle for row in rows]
    assert unpacked(page["targets"]).tolist() == table.targets.tolist()
    assert page["oracle"]["accuracy"] == rows[-1].oracle
    for k, bins in enumerate(page["reliability"]):
        assert sum(bins["counts"]) == len(table)
        right = sum(n * a for n, a in zip(bins["counts"], bins["accuracy"], strict=True) if n)
        assert right / len(table) == pytest.approx(rows[k].accuracy)


def test_more_than_256_classes_are_told_apart() -> None:
    table = make_table(samples=5, classes=300)
    page = json.loads(make_payload(table).to_json())
    assert page["predictions"]["type"] == "u16"
    assert unpacked(page["predictions"]).tolist() == table.logits.argmax(dim=2).flatten().tolist()


def test_regression_has_no_classes_to_speak_of() -> None:
    table = make_table(classes=1)
    page = json.loads(make_payload(table, Consistency(1, eta=0.1)).to_json())
    assert (page["readings"], page["reliability"], page["overthinking"]) == ({}, [], None)
    assert [exit_["mae"] for exit_ in page["exits"]] == [row.mae for row in exit_rows(table)]


def test_numbers_that_json_has_not_are_null() -> None:
    made = make_payload(make_table(classes=1), Full())
    made.exits[0]["mae"] = math.nan
    page = json.loads(made.to_json())
    assert page["exits"][0]["mae"] is None


def test_names_must_be_one_per_class() -> None:
    with pytest.raises(ExeuntError, match="3 classes need as many names, got 1"):
        make_payload(make_table(), class_names=["a"])


def test_a_policy_from_elsewhere_cannot_be_followed() -> None:
    class Own:
        spec = "own"

        def observe(self, exit_index: int, logits: Any, memory: Any) -> Any:
            raise NotImplementedError

    with pytest.raises(ExeuntError, match="'own'"):
        rules_of(Own(), 3)


def noise(name: str) -> Image.Image:
    """The worst that a picture can be for its size as JPEG."""
    rng = np.random.default_rng(int(name.removesuffix(".png")))
    return Image.fromarray(rng.integers(0, 256, (130, 150, 3), dtype=np.uint8))


def test_four_thousand_images_stay_below_three_megabytes(tmp_path: Path) -> None:
    table = make_table(4000, 6, 10)
    calibration = make_table(1000, 6, 10, split="calibration")
    rows = choose(replay(table, Confidence(0.8)), table.targets, 120)
    page = make_payload(
        table,
        budgets=sweep(calibration, geometric_policies(calibration)),
        thumbnails=shrink(table, rows, noise),
    )
    write_report(tmp_path / "report.html", page)
    assert (tmp_path / "report.html").stat().st_size < 3_000_000


def test_thumbnails_are_small_and_never_blown_up() -> None:
    table = make_table(2)
    sizes = {"0.png": (300, 200), "1.png": (40, 64)}
    shots = shrink(table, [1, 0], lambda name: Image.new("L", sizes[name]))
    assert [(shot.row, shot.name) for shot in shots] == [(1, "1.png"), (0, "0.png")]
    sides = [Image.open(io.BytesIO(shot.jpeg)).size for shot in shots]
    assert sides == [(40, 40), (SIDE_PX, SIDE_PX)]


def test_the_choice_of_images_takes_turns() -> None:
    table = make_table(400)
    outcome = replay(table, Confidence(0.9))
    rows = choose(outcome, table.targets, 24)
    assert len(set(rows)) == 24
    assert rows == choose(outcome, table.targets, 24)
    right = outcome.logits.argmax(dim=1) == table.targets
    cells = [(int(outcome.exit_index[row]), bool(right[row])) for row in rows]
    assert sorted(cells) == sorted([(k, good) for k in range(4) for good in (False, True)] * 3)
    classes = {(cell, int(table.targets[row])) for cell, row in zip(cells, rows, strict=True)}
    assert len(classes) == 24, "three of a cell are of three classes"
    assert sorted(choose(outcome, table.targets, 1000)) == list(range(400))
    assert choose(outcome, table.targets, 0) == []


class Tags(HTMLParser):
    """Counts start tags, and keeps what is inside scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.scripts: list[str] = []
        self.policy = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        attributes = dict(attrs)
        if attributes.get("http-equiv"):
            self.policy = attributes["content"] or ""

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "script":
            self.scripts.append(data)


def test_hostile_text_stays_text() -> None:
    plain, hostile = Tags(), Tags()
    table = make_table()
    plain.feed(document(make_payload(table)))
    page = make_payload(
        table,
        title=HOSTILE,
        summary=HOSTILE,
        class_names=[HOSTILE, "b", "c"],
        thumbnails=[Thumbnail(0, HOSTILE, b"")],
        facts=[(HOSTILE, [(HOSTILE, HOSTILE)])],
    )
    hostile.feed(document(page))
    assert hostile.tags == plain.tags
    assert plain.tags.count("script") == 2
    found = json.loads(hostile.scripts[0])
    assert found["classes"][0] == found["title"] == found["gallery"][0]["name"] == HOSTILE


def test_the_page_forbids_what_it_does_not_need() -> None:
    text = document(make_payload(make_table()))
    tags = Tags()
    tags.feed(text)
    assert "default-src 'none'" in tags.policy
    assert "unsafe" not in tags.policy
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in text
    assert text.isascii() or "\ufffd" not in text
