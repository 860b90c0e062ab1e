"""What is said of images that are there twice, and of classes without images."""

from __future__ import annotations

from pathlib import Path

import pytest

from exeunt.data import ImageFile, Sample, duplicates, notes

CONTENTS = {"a": b"one", "b": b"two", "c": b"one", "d": b"four", "e": b"two", "f": b"", "g": b""}


@pytest.fixture
def samples(tmp_path: Path) -> dict[str, Sample]:
    """Targets count from 0; "a" is "c", "b" is "e", and two are empty."""
    for name, content in CONTENTS.items():
        (tmp_path / name).write_bytes(content)
    return {n: Sample(ImageFile(tmp_path / n), k % 2, n) for k, n in enumerate(CONTENTS)}


def select_samples(samples: dict[str, Sample], names: str) -> list[Sample]:
    return [samples[name] for name in names]


def test_twins(samples):
    found = duplicates.duplicates(samples.values())
    assert [[one.name for one in group] for group in found] == [["a", "c"], ["b", "e"]]
    assert duplicates.duplicates(select_samples(samples, "abd")) == []


def test_twins_in_two_splits_and_under_two_labels(samples):
    parts = {"train": select_samples(samples, "ab"), "test": select_samples(samples, "cde")}
    assert notes(parts, ("x", "y")) == [
        "identical images: 2 both in train and test (a is c, ...); 1 under two labels (b is e)"
    ]
    assert notes({"all": select_samples(samples, "abcde")}, ("x", "y")) == [
        "identical images: 1 under two labels (b is e)"
    ]
    assert notes({"all": select_samples(samples, "abcde")}, ()) == []
    assert notes(
        {"train": select_samples(samples, "ab"), "test": select_samples(samples, "d")}, ("x", "y")
    ) == ["test: no images of x"]


def test_few_bytes_are_read(samples, monkeypatch):
    read = []
    content = ImageFile.content
    monkeypatch.setattr(
        ImageFile, "content", lambda self: read.append(self.path.name) or content(self)
    )
    duplicates.duplicates(samples.values())
    assert sorted(read) == ["a", "b", "c", "e"]  # of a size that others have, and not empty
    read.clear()
    assert duplicates.duplicates(samples.values(), most_bytes=11) is None
    assert not read
    monkeypatch.setattr(duplicates, "duplicates", lambda _: None)
    assert notes({"all": select_samples(samples, "ab")}, ("x", "y")) == [
        "identical images were not looked for: more than 4 GiB to read"
    ]


def test_a_file_that_goes_is_no_twin(samples, monkeypatch):
    def gone(self):
        raise FileNotFoundError(2, "gone", str(self.path))

    monkeypatch.setattr(ImageFile, "content", gone)
    assert duplicates.duplicates(samples.values()) == []
