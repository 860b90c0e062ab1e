"""ImageNet's flat validation folder, with the files that tell its classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from exeunt.data import open_source
from exeunt.errors import ExeuntError

SYNSETS = ("n01440764", "n02119789", "n03995372")
VAL = [f"ILSVRC2012_val_{i:08}.JPEG" for i in range(1, 5)]
ANSWERS = (2, 0, 1, 0)
SOLUTION = "LOC_val_solution.csv"
LIST = "imagenet_2012_validation_synset_labels.txt"
NUMBERS = "ILSVRC2012_validation_ground_truth.txt"


def touch(root: Path, *names: str) -> Path:
    """Listing reads no image, so empty files do."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


@pytest.fixture
def root(tmp_path) -> Path:
    """Two train images of each of three classes, and four flat validation images."""
    train = [f"train/{synset}/{synset}_{i}.JPEG" for synset in SYNSETS for i in (1, 2)]
    return touch(tmp_path / "ILSVRC" / "Data" / "CLS-LOC", *train, *(f"val/{v}" for v in VAL))


def solution() -> str:
    """As Kaggle's: any order, one image with two boxes, and one that is not here."""
    rows = [f"{name[:-5]},{SYNSETS[k]} 1 2 3 4 " for name, k in zip(VAL, ANSWERS, strict=True)]
    rows[1] += f"{SYNSETS[0]} 5 6 7 8 "
    return "\n".join(
        ["ImageId,PredictionString", *rows[::-1], "ILSVRC2012_val_00000009,n0 1 2 3 4"]
    )


def check(source) -> None:
    assert source.class_names == SYNSETS
    assert len(source.pools["train"]) == 6
    assert source.pools["train"][0].name == "train/n01440764/n01440764_1.JPEG"
    found = [(sample.name, sample.target) for sample in source.pools["test"]]
    assert found == [(f"val/{name}", k) for name, k in zip(VAL, ANSWERS, strict=True)]
    assert all(sample.place.path.is_file() for sample in source.pools["test"])


@pytest.mark.parametrize("where", [".", "val", "../../.."])
def test_solution_of_kaggle(root, where):
    (root / where / SOLUTION).write_text(solution())
    touch(root, "test/ILSVRC2012_test_00000001.JPEG")  # has no labels: left aside
    check(open_source(root))


def test_whole_folder_of_kaggle(root, tmp_path):
    touch(root, "test/ILSVRC2012_test_00000001.JPEG")
    (tmp_path / SOLUTION).write_text(solution())
    check(open_source(tmp_path))


def test_relative_path(root, tmp_path, monkeypatch):
    (tmp_path / SOLUTION).write_text(solution())
    monkeypatch.chdir(root)
    check(open_source("."))


def test_list_of_synsets(root):
    (root / LIST).write_text("".join(f"{SYNSETS[k]}\n" for k in ANSWERS))
    check(open_source(root))


def test_class_folders_need_no_truth(root):
    for name, k in zip(VAL, ANSWERS, strict=True):
        (root / "val" / SYNSETS[k]).mkdir(exist_ok=True)
        (root / "val" / name).rename(root / "val" / SYNSETS[k] / name)
    touch(root, "test/ILSVRC2012_test_00000001.JPEG")
    names = [sample.name for sample in open_source(root).pools["test"]]
    assert sorted(name.split("/")[-1] for name in names) == VAL
    assert names[0] == f"val/{SYNSETS[0]}/{VAL[1]}"


@pytest.mark.parametrize("where", [".", "val", "ILSVRC2012_devkit_t12/data"])
def test_numbers_of_the_devkit_are_refused(root, where):
    """1 is n02119789 there, in no order that a text file could be trusted to have."""
    touch(root, f"{where}/{NUMBERS}")
    with pytest.raises(ExeuntError, match=rf"{NUMBERS} does not do: it numbers classes as"):
        open_source(root)


def test_no_truth(root):
    with pytest.raises(ExeuntError, match=rf"val: images, but no class folders; .* {SOLUTION}"):
        open_source(root)
    touch(root, f"train/{SYNSETS[0]}/x.JPEG", "test/1.JPEG")
    with pytest.raises(ExeuntError, match=r"test: images, but no class folders"):
        open_source(root)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (SOLUTION, "", "the first line must be ImageId,PredictionString"),
        (SOLUTION, "ImageId,PredictionString\na\n", "line 2: expected an image and boxes"),
        (SOLUTION, "ImageId,PredictionString\na,\n", "line 2: expected an image and boxes"),
        (SOLUTION, "ImageId,PredictionString\na,n1 1 2 3 4 n2 1 2 3 4\n", "boxes of one synset"),
        (SOLUTION, "ImageId,PredictionString\n", "does not list 4 of 4 images, such as .*1.JPEG"),
        (LIST, "n01440764\n" * 3, "3 lines for 4 images"),
        (LIST, "n01440764\n" * 3 + "n07\n", "_00000004.JPEG is of class n07, but there is no fol"),
    ],
)
def test_faulty_truths(root, name, text, message):
    (root / name).write_text(text)
    with pytest.raises(ExeuntError, match=message):
        open_source(root)


def test_truth_in_another_encoding(root):
    (root / SOLUTION).write_bytes(b"\xff\xfe")
    with pytest.raises(ExeuntError, match="not a text file in UTF-8"):
        open_source(root)
