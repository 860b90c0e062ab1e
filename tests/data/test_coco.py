"""Visual Wake Words by its rule: boxes at, below and above the threshold, drawn by hand."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import pytest

from exeunt.data import open_source
from exeunt.data.coco import wake_words, write_list
from exeunt.errors import ExeuntError

PERSON, DOG = 1, 18


def annotation(image: int, category: int, box: tuple[float, float], mask: float, crowd: int = 0):
    return {
        "id": 900,
        "image_id": image,
        "category_id": category,
        "bbox": [3.5, 4, *box],
        "area": mask,
        "iscrowd": crowd,
        "segmentation": {"counts": [1, 2], "size": [100, 200]} if crowd else [[1, 2, 3, 4]],
    }


# Images are 200 x 100: 0.5 % are 100 pixels, which a box has to exceed.
TRAIN = {
    11: [annotation(11, PERSON, (10, 10), 60)],  # at the threshold
    12: [annotation(12, PERSON, (10, 9.99), 60)],  # below it
    13: [annotation(13, PERSON, (10, 10.01), 60)],  # above it, the mask is not
    14: [annotation(14, PERSON, (20, 20), 300)],  # above it, the mask too
    15: [annotation(15, PERSON, (9, 9), 80), annotation(15, PERSON, (9, 9), 80)],  # not together
    16: [annotation(16, DOG, (100, 100), 9000), annotation(16, PERSON, (1, 1), 1)],  # a dog
    17: [annotation(17, PERSON, (60, 50), 2000, crowd=1)],  # a crowd
    18: [],  # nothing
}
VAL = {21: [annotation(21, PERSON, (200, 100), 15000)], 22: [], 23: []}
BOX = {13, 14, 17, 21}
MASK = {14, 17, 21}
CATEGORIES = [{"id": PERSON, "name": "person"}, {"id": DOG, "name": "dog"}]


def file_name(part: str, number: int) -> str:
    return f"COCO_{part}2014_{number:012}.jpg"


def instances(part: str, images: dict[int, list]) -> dict:
    return {
        "info": {"year": 2014},
        "images": [
            {"id": n, "file_name": file_name(part, n), "width": 200, "height": 100} for n in images
        ],
        "annotations": [one for found in images.values() for one in found],
        "categories": CATEGORIES,
    }


def write(root: Path, year: str = "2014", below: str = "") -> Path:
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    for part, images in (("train", TRAIN), ("val", VAL)):
        path = root / "annotations" / f"instances_{part}{year}.json"
        path.write_text(json.dumps(instances(part, images)))
        folder = root / below / f"{part}{year}"
        folder.mkdir(parents=True)
        for number in images:
            (folder / file_name(part, number)).touch()
    return root


def positive(listed, label: str = "person") -> set[int]:
    return {int(one.file.stem[-12:]) for one in listed if one.label == label}


def in_split(listed, split: str) -> set[int]:
    return {int(one.file.stem[-12:]) for one in listed if one.split == split}


def test_the_rule(tmp_path):
    listed = wake_words(write(tmp_path))
    assert positive(listed) == BOX
    assert positive(listed, "not-person") == {*TRAIN, *VAL} - BOX
    assert in_split(listed, "train") == {*TRAIN}
    assert in_split(listed, "test") == {*VAL}
    assert all(one.file.is_file() for one in listed)
    assert positive(wake_words(tmp_path, measure="mask")) == MASK


def test_other_threshold_and_category(tmp_path):
    write(tmp_path)
    assert positive(wake_words(tmp_path, area=0.0)) == {11, 12, 13, 14, 15, 16, 17, 21}
    assert positive(wake_words(tmp_path, area=0.02)) == {17, 21}  # 14 has 0.02 exactly
    listed = wake_words(tmp_path, category="dog")
    assert positive(listed, "dog") == {16}
    assert {one.label for one in listed} == {"dog", "not-dog"}


def test_minival(tmp_path):
    (tmp_path / "ids.txt").write_text("12\n21\n\n23\n")
    listed = wake_words(write(tmp_path / "coco"), minival=tmp_path / "ids.txt")
    assert in_split(listed, "test") == {12, 21, 23}
    assert in_split(listed, "train") == {*TRAIN, *VAL} - {12, 21, 23}
    assert positive(listed) == BOX


@pytest.mark.parametrize("below", ["", "images"])
def test_years(tmp_path, below):
    write(tmp_path, "2017", below)
    assert positive(wake_words(tmp_path)) == BOX
    write(tmp_path, "2014", below)
    with pytest.raises(ExeuntError, match="has 2014 and 2017; choose one with --year"):
        wake_words(tmp_path)
    for year in ("2014", "2017"):
        listed = wake_words(tmp_path, year=year)
        assert {one.file.parent.name for one in listed} == {f"train{year}", f"val{year}"}


@pytest.mark.parametrize("out", ["coco/list.csv", "elsewhere/deep/list.csv"])
def test_the_list_is_data(tmp_path, out):
    listed = wake_words(write(tmp_path / "coco"))
    (tmp_path / out).parent.mkdir(parents=True, exist_ok=True)
    write_list(listed, tmp_path / out)
    source = open_source(tmp_path / out)
    assert source.class_names == ("not-person", "person")
    assert [(s.name, s.target) for s in source.pools["train"]] == [
        (f"train2014/{file_name('train', number)}", int(number in BOX)) for number in TRAIN
    ]
    assert [(s.name, s.target) for s in source.pools["test"]] == [
        (f"val2014/{file_name('val', number)}", int(number in BOX)) for number in VAL
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"area": 1.0}, "area must be a share of the image, from 0 to below 1, not 1.0"),
        ({"area": float("nan")}, "area must be a share"),
        ({"measure": "pixels"}, "measure must be box or mask, not 'pixels'"),
        ({"year": "2016"}, "year must be 2014 or 2017, not '2016'"),
        ({"year": "2017"}, r"instances_train2017\.json and .*instances_val2017\.json: missing"),
        ({"category": "persons"}, "no category 'persons'; did you mean person?"),
        ({"category": "xyz"}, r"train2014\.json: there is no category 'xyz'$"),
    ],
)
def test_faulty_options(tmp_path, options, message):
    with pytest.raises(ExeuntError, match=message):
        wake_words(write(tmp_path), **options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\ntwo", "not a list of image numbers"),
        ("", "lists no image numbers"),
        ("11 77", r"1 numbers are of no image of 2014, such as 77"),
    ],
)
def test_faulty_minival(tmp_path, text, message):
    (tmp_path / "ids.txt").write_text(text)
    with pytest.raises(ExeuntError, match=message):
        wake_words(write(tmp_path / "coco"), minival=tmp_path / "ids.txt")


def broken(change) -> str:
    found = copy.deepcopy(instances("train", TRAIN))
    change(found)
    return json.dumps(found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[" * 10**5, "not JSON"),
        ("1" * 5000, "not JSON"),
        ("[1]", r"not COCO's instances: \[1\] is no object"),
        ("{}", "not COCO's instances: 'images' must be a list, not null"),
        (broken(lambda f: f.update(annotations={"a": 1})), "'annotations' must be a list, not"),
        (broken(lambda f: f["images"].insert(1, None)), r"images\[1\]: no object but null"),
        (broken(lambda f: f["images"][0].pop("width")), r"images\[0\]: 'width' is missing"),
        (broken(lambda f: f["images"][0].update(width=None)), "width must be a number, not null"),
        (broken(lambda f: f["images"][0].update(width=0)), r"images\[0\]: an image of 0 x"),
        (
            broken(lambda f: f["images"][0].update(width=-3, height=-3)),
            "an image of -3 x -3 pixels",
        ),
        (
            broken(lambda f: f["images"][0].update(height=1e400)),
            "an image of 200 x Infinity pixels",
        ),
        (
            broken(lambda f: f["images"][0].update(height=10**400)),
            "an image of 200 x 10{30,60}\\.\\.\\. pixels",
        ),
        (broken(lambda f: f["images"][0].update(id=[1])), r"id must be a whole number, not \[1\]"),
        (broken(lambda f: f["images"][0].update(id=True)), "id must be a whole number, not true"),
        (
            broken(lambda f: f["images"][1].update(id=f["images"][0]["id"])),
            "the id 11 occurs twice",
        ),
        (broken(lambda f: f["images"][0].update(file_name=5)), "file_name must be a text, not 5"),
        (broken(lambda f: f["categories"][0].update(name=[])), r"name must be a text, not \[\]"),
        (
            broken(lambda f: f["categories"][0].update(id=None)),
            "id must be a whole number, not null",
        ),
        (broken(lambda f: f["annotations"].append([])), r"annotations\[\d+\]: no object but \[\]"),
        (broken(lambda f: f["annotations"][0].pop("bbox")), r"annotations\[0\]: 'bbox' is missing"),
        (broken(lambda f: f["annotations"][0].update(image_id=99)), "image_id 99 is no image's id"),
        (broken(lambda f: f["annotations"][0].update(image_id={})), r"whole number, not \{\}"),
        (
            broken(lambda f: f["annotations"][0].update(category_id=None)),
            "category_id must be a who",
        ),
        (broken(lambda f: f["annotations"][0].update(bbox="a")), 'bbox must be a list, not "a"'),
        (broken(lambda f: f["annotations"][0].update(bbox=[1, 2])), r"negative, not \[1, 2\]"),
        (
            broken(lambda f: f["annotations"][0].update(bbox=[1, 2, -3, -4])),
            r"not \[1, 2, -3, -4\]",
        ),
        (broken(lambda f: f["annotations"][0].update(bbox=[1, 2, 3, None])), r"\[1, 2, 3, null\]"),
        (broken(lambda f: f["annotations"][0].update(bbox=[1, 2, math.nan, 4])), "2, NaN, 4"),
        (broken(lambda f: f["annotations"][0].update(bbox=[1, 2, 3, 10**400])), "1, 2, 3, 1000"),
    ],
)
def test_faulty_annotations(tmp_path, text, message):
    path = write(tmp_path) / "annotations" / "instances_train2014.json"
    path.write_text(text)
    with pytest.raises(ExeuntError, match=rf"instances_train2014\.json.*{message}"):
        wake_words(tmp_path)


def test_masks_of_negative_size(tmp_path):
    path = write(tmp_path) / "annotations" / "instances_train2014.json"
    path.write_text(broken(lambda f: f["annotations"][2].update(area=-60)))
    assert positive(wake_words(tmp_path)) == BOX
    with pytest.raises(ExeuntError, match=r"annotations\[2\]: area must be at least 0, not -60"):
        wake_words(tmp_path, measure="mask")


def test_missing_images(tmp_path):
    write(tmp_path)
    (tmp_path / "train2014" / file_name("train", 12)).unlink()
    with pytest.raises(ExeuntError, match=r"train2014: 1 of the 8 images of .* such as COCO_train"):
        wake_words(tmp_path)
    (tmp_path / "val2014").rename(tmp_path / "val")
    (tmp_path / "train2014" / file_name("train", 12)).touch()
    with pytest.raises(ExeuntError, match="there is no folder val2014, here or in images/"):
        wake_words(tmp_path)
