"""Tables of classes and values: what is listed, how it is called, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from exeunt.data import fingerprint, open_source
from exeunt.errors import ExeuntError


def touch(root: Path, *names: str) -> Path:
    """Listing reads no image, so empty files do."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def listed(samples) -> list[tuple[str, int | float]]:
    return [(sample.name, sample.target) for sample in samples]


def table(root: Path, text: str) -> Path:
    touch(root, "b.png", "in/a.JPG", "c.txt")
    (root / "ages.csv").write_text(text, encoding="utf-8")
    return root / "ages.csv"


def test_table_of_values(tmp_path):
    text = '\ufefffile,id,value\nb.png,1,2\n\n"in/a.JPG",2, -1.5e1\n'
    source = open_source(table(tmp_path, text))
    assert (source.task, source.class_names, source.root) == ("regression", (), tmp_path)
    assert listed(source.pools["all"]) == [("b.png", 2.0), ("in/a.JPG", -15.0)]
    assert all(isinstance(sample.target, float) for sample in source.pools["all"])
    assert all(sample.place.path.is_file() for sample in source.pools["all"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"must name the columns file and label \(.*\), or file and value .* but it is ''"),
        ("b.png,2\n", r"must name the columns file .* but it is 'b\.png,2'"),
        ("file,value\n", "no images are listed"),
        ("file,value\nb.png,2\nin/a.JPG,old\n", r"ages\.csv, line 3: .*finite number, not 'old'"),
        ("file,value\nb.png,nan\n", "line 2: .*finite number, not 'nan'"),
        ("file,value\nb.png,inf\n", "line 2: .*finite number, not 'inf'"),
        ("file,value\nb.png\n", "line 2: .*finite number, not None"),
        ("file,value\n,2\n", "line 2: no file is named"),
        ("file,value\n\nd.png,2\n", r"line 3: there is no file .*d\.png"),
        ("file,value\nc.txt,2\n", r"line 2: 'c\.txt' is no image"),
        ("file,value\nb.png,2\n./b.png,3\n", r"line 3: 'b\.png' is listed twice"),
    ],
)
def test_faulty_tables(tmp_path, text, message):
    with pytest.raises(ExeuntError, match=message):
        open_source(table(tmp_path, text))


def test_table_in_another_encoding(tmp_path):
    path = table(tmp_path, "")
    path.write_bytes("file,value\nü.png,1\n".encode("latin-1"))
    with pytest.raises(ExeuntError, match="not a text file in UTF-8"):
        open_source(path)


def test_table_of_classes(tmp_path):
    source = open_source(table(tmp_path, "label,file,who\n dog ,b.png,x\n7,in/a.JPG,y\n"))
    assert (source.task, source.class_names, source.root) == (
        "classification",
        ("7", "dog"),
        tmp_path,
    )
    assert list(source.pools) == ["all"]
    assert listed(source.pools["all"]) == [("b.png", 1), ("in/a.JPG", 0)]
    assert all(isinstance(sample.target, int) for sample in source.pools["all"])


@pytest.mark.parametrize("column", ["label", "value"])
def test_split_column(tmp_path, column):
    touch(tmp_path, "c.png", "d.png")
    lines = ["b.png,1,train", "c.png,2,test", "in/a.JPG,2,train", "d.png,1,test"]
    source = open_source(table(tmp_path, "\n".join([f"file,{column},split", *lines])))
    assert {pool: [s.name for s in samples] for pool, samples in source.pools.items()} == {
        "train": ["b.png", "in/a.JPG"],
        "test": ["c.png", "d.png"],
    }
    assert list(source.pools) == ["train", "test"]


def test_names_do_not_depend_on_where_the_table_is(tmp_path):
    """Else the splits, which are made by name, would."""
    touch(tmp_path, "coco/train/1.png", "coco/train/2.png", "coco/val/3.png", "lists/x")
    files = ["train/1.png", "train/2.png", "val/3.png"]
    prints = set()
    for place, prefix in (
        ("lists", "../coco/"),
        ("coco/deep/er", "../../"),
        ("lists", f"{tmp_path}/coco/"),
        ("coco", "../lists/../coco/"),
        ("coco", ""),
    ):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        path = tmp_path / place / "list.csv"
        lines = [f"{prefix}{file},{i % 2}" for i, file in enumerate(files)]
        path.write_text("\n".join(["file,label", *lines]))
        source = open_source(os.path.relpath(path))
        assert [sample.name for sample in source.pools["all"]] == files
        assert source.root.resolve() == tmp_path / "coco"
        assert all(sample.place.path.is_file() for sample in source.pools["all"])
        prints.add(fingerprint(source.pools["all"]))
    assert len(prints) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label,value\nb.png,2,3\n", "has both a column label .* and a column value"),
        ("file,label\nb.png,dog\n", "only one class, 'dog'; at least two classes are needed"),
        ("file,label\nb.png, \n", "line 2: 'b.png' has no label"),
        ("file,label\nb.png\n", "line 2: 'b.png' has no label"),
        ("file,label,split\nb.png,dog,val\n", "line 2: the split of 'b.png' must be .*'val'"),
        ("file,label,split\nb.png,dog\n", "line 2: the split of 'b.png' must be .* not None"),
        ("file,label,split\nb.png,1,train\nin/a.JPG,2,train\n", "no image has split 'test'"),
        ("file,value,split\nb.png,1,test\n", "no image has split 'train'; leave the column out"),
        ("file,label\nb.png,1\n./b.png,2\n", "line 3: 'b.png' is listed twice"),
        ("file,label\nin/../b.png,1\n../{}/b.png,2\n", "line 3: 'b.png' is listed twice"),
    ],
)
def test_faulty_tables_of_classes(tmp_path, text, message):
    with pytest.raises(ExeuntError, match=message):
        open_source(table(tmp_path, text.replace("{}", tmp_path.name)))
