"""`exeunt vww`: a list of COCO's images that the other commands take as DATA."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """Four train and two val images of 100 x 100; boxes of 49, 50, 51 and 5000 pixels."""
    root = tmp_path / "coco"
    (root / "annotations").mkdir(parents=True)
    for part, boxes in (("train", [(7, 7), (5, 10), (5, 10.2), None]), ("val", [None, (50, 100)])):
        (root / f"{part}2017").mkdir()
        images, annotations = [], []
        for number, box in enumerate(boxes):
            name = f"{part}{number}.jpg"
            (root / f"{part}2017" / name).touch()
            images.append({"id": number, "file_name": name, "width": 100, "height": 100})
            if box:
                found = {"image_id": number, "category_id": 1, "bbox": [0, 0, *box], "area": 1}
                annotations.append(found)
        content = {
            "images": images,
            "annotations": annotations,
            "categories": [{"id": 1, "name": "person"}],
        }
        path = root / "annotations" / f"instances_{part}2017.json"
        path.write_text(json.dumps(content))
    return root


def test_list_and_summary(exeunt, coco, tmp_path):
    out = tmp_path / "lists" / "vww.csv"
    run = exeunt("vww", coco, "--out", out)
    assert (run.status, run.err) == (0, "")
    assert [line.split() for line in run.out.splitlines()] == [
        ["split", "images", "person", "share"],
        ["train", "4", "1", "25.0", "%"],
        ["test", "2", "1", "50.0", "%"],
        ["list:", str(out)],
    ]
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["file"], row["label"], row["split"]) for row in rows] == [
        ("../coco/train2017/train0.jpg", "not-person", "train"),
        ("../coco/train2017/train1.jpg", "not-person", "train"),
        ("../coco/train2017/train2.jpg", "person", "train"),
        ("../coco/train2017/train3.jpg", "not-person", "train"),
        ("../coco/val2017/val0.jpg", "not-person", "test"),
        ("../coco/val2017/val1.jpg", "person", "test"),
    ]


def test_json_and_threshold(exeunt, coco, tmp_path):
    out = tmp_path / "vww.csv"
    run = exeunt("vww", coco, "--out", out, "--area", "0.0049", "--json")
    assert [json.loads(line) for line in run.out.splitlines()] == [
        {"file": str(out), "split": "train", "images": 4, "person": 2},
        {"file": str(out), "split": "test", "images": 2, "person": 1},
    ]


def test_errors_write_nothing(exeunt, coco, tmp_path):
    for arguments, message in (
        (("--out", tmp_path / "lists"), "give a name that ends in .csv"),
        (("--out", tmp_path / "a.csv", "--category", "persona"), "did you mean person?"),
        (("--out", tmp_path / "a.csv", "--year", "2014"), "instances_val2014.json: missing"),
    ):
        run = exeunt("vww", coco, *arguments)
        assert run.status == 2
        assert message in run.err
    assert not list(tmp_path.glob("*.csv"))
