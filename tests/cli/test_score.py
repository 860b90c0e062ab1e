"""`exeunt score`, and `exeunt record` by another engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

parquet = pytest.importorskip("pyarrow.parquet")


def test_a_job_is_told_in_lines_or_in_json(
    weights: Path, images: Path, exeunt: Any, tmp_path: Path
) -> None:
    words = ("score", weights, images, "--workers", 1, "--block-size", 25, "--out")
    told = exeunt(*words, tmp_path / "out")
    assert told.status == 0, told.err
    lines = dict(line.split("  ", 1) for line in told.out.splitlines())
    assert lines["images"].strip() == "60, 0 of them not readable"
    assert list(lines) == ["images", "left at", "multiply-adds", "speed", "results"]
    again = exeunt(*words, tmp_path / "out")
    assert again.status == 2
    assert "--resume goes on with them" in again.err
    resumed = exeunt(*words, tmp_path / "out", "--resume", "--json")
    found = json.loads(resumed.out)
    assert (found["images"], found["images_now"], len(found["exit_shares"])) == (60, 0, 6)
    assert [path.name for path in sorted((tmp_path / "out").glob("part-*"))] == [
        f"part-{number:06}.parquet" for number in range(3)
    ]


def test_record_by_an_engine_that_needs_another(
    tiny: Path, images: Path, exeunt: Any, tmp_path: Path
) -> None:
    words = ("record", tiny, images, "--out", tmp_path / "x.exits", "--address", "auto")
    done = exeunt(*words)
    assert done.status == 2
    assert "--address auto is for --engine ray" in done.err
