"""Images that must not be calibrated on."""

from __future__ import annotations

from pathlib import Path

import pytest

from exeunt.calibrate.held_out import refuse_tested, refuse_trained
from exeunt.data import ImageFile, Sample, content_hash
from exeunt.errors import ExeuntError


def write(folder: Path, contents: list[str]) -> list[Sample]:
    folder.mkdir()
    samples = []
    for i, content in enumerate(contents):
        (folder / f"{i}.png").write_text(content)
        samples.append(Sample(ImageFile(folder / f"{i}.png"), 0, f"{folder.name}/{i}.png"))
    return samples


def test_images_of_the_test_split_are_found_by_their_bytes(tmp_path: Path) -> None:
    test = write(tmp_path / "test", [f"test {i}" for i in range(10)])
    fresh = write(tmp_path / "fresh", [f"cali {i}" for i in range(10)])
    refuse_tested(fresh, test)
    same = write(tmp_path / "same", [*(f"cali {i}" for i in range(8)), "test 3", "test 7"])
    with pytest.raises(ExeuntError, match=r"2 of 10 .*same/8.png is test/3.png"):
        refuse_tested(same, test)


def test_one_duplicate_in_a_hundred_is_no_matter(tmp_path: Path) -> None:
    test = write(tmp_path / "test", ["same"])
    refuse_tested(write(tmp_path / "a", ["same", *map(str, range(99))]), test)
    with pytest.raises(ExeuntError, match="1 of 99"):
        refuse_tested(write(tmp_path / "b", ["same", *map(str, range(98))]), test)


def test_images_held_out_in_training_and_others_do_not_mix(tmp_path: Path) -> None:
    held_out = write(tmp_path / "held_out", list("abcde"))
    others = write(tmp_path / "others", list("vwxyz"))
    hashes = {content_hash(sample.place) for sample in held_out}
    assert refuse_trained(held_out, hashes) == 5
    assert refuse_trained(others, hashes) == 0
    assert refuse_trained(others, set()) == 0
    with pytest.raises(ExeuntError, match=r"5 of 10 .* train or test split"):
        refuse_trained([*held_out, *others], hashes)
