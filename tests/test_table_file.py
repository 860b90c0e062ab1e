"""Table files, against safetensors' own reader and writer, and what must not be taken for one."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from exeunt.errors import ExeuntError
from exeunt.evaluate import ExitTable, load_table, save_table

DESCRIBED = [f.name for f in fields(ExitTable) if f.init and f.name not in ("logits", "targets")]


def make_table(task: Any = "classification", dtype: torch.dtype = torch.float32) -> ExitTable:
    """Five samples, three exits; K is odd, so that rows are not aligned."""
    generator = torch.Generator().manual_seed(0)
    classes = task == "classification"
    return ExitTable(
        logits=torch.randn(3, 5, 7 if classes else 1, generator=generator).to(dtype),
        targets=torch.tensor([0, 1, 6, 3, 4]) if classes else torch.linspace(-1, 1, 5),
        task=task,
        exit_macs=(10, 20, 40),
        names=("a.png", "ü/b c.png", '"quoted".png', "\udcff.png", "e\n.png"),
        split="calibration",
        weights_fingerprint="w",
        data_fingerprint="d",
        class_names=tuple("abcdefg") if classes else (),
        exit_ms=(0.5, 1.25, 2.0) if classes else None,
        exit_bytes=(100, 100, 200) if classes else None,
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "t.exits"
    save_table(path, make_table())
    return path


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_what_is_loaded_was_saved(task: str, dtype: torch.dtype, tmp_path: Path) -> None:
    table = make_table(task, dtype)
    path = tmp_path / "new" / "folder" / "t.exits"
    save_table(path, table)
    loaded = load_table(path)
    assert loaded.logits.dtype == dtype
    assert torch.equal(loaded.logits, table.logits)
    assert torch.equal(loaded.targets, table.targets)
    for name in DESCRIBED:
        assert getattr(loaded, name) == getattr(table, name), name
    assert list(path.parent.iterdir()) == [path]


def test_any_reader_of_safetensors_can_use_it(file: Path) -> None:
    table, tensors = make_table(), load_file(file)
    assert sorted(tensors) == ["logits", "targets"]
    assert torch.equal(tensors["logits"], table.logits)
    assert torch.equal(tensors["targets"], table.targets)
    with safe_open(file, framework="pt") as opened:
        described = json.loads(opened.metadata()["exits"])
    assert described["format"] == 1
    assert described["class_names"] == list("abcdefg")
    assert sorted(described) == sorted([*DESCRIBED, "format"])


def test_logits_are_not_read_until_they_are_used(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    shape, size = [3, 5, 2**26], 3 * 5 * 2**26 * 2  # 2 GB, of a file without contents
    header = {
        "__metadata__": {"exits": describe(class_names=[])},
        "targets": {"dtype": "I64", "shape": [5], "data_offsets": [0, 40]},
        "logits": {"dtype": "F16", "shape": shape, "data_offsets": [40, 40 + size]},
    }
    text = json.dumps(header).encode()
    with (tmp_path / "t.exits").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + 40 + size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    table = load_table(tmp_path / "t.exits")
    assert list(table.logits.shape) == shape
    assert table.logits[2, 4, -1] == 0
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kb < size / 1024 / 10


def test_bytes_depend_on_the_values_alone(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = make_table()
    rows_together = table.logits.permute(1, 0, 2).contiguous().permute(1, 0, 2)
    assert not rows_together.is_contiguous()
    monkeypatch.setattr("exeunt.evaluate.table_file._BLOCK_BYTES", 2 * 3 * 7 * 4)  # two samples
    save_table(tmp_path / "other.exits", replace(table, logits=rows_together))
    assert (tmp_path / "other.exits").read_bytes() == file.read_bytes()


def test_a_table_may_be_saved_over_the_file_it_is_a_view_of(file: Path) -> None:
    before = file.read_bytes()
    save_table(file, load_table(file))
    assert file.read_bytes() == before


def test_more_names_than_a_header_holds_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exeunt.evaluate.table_file._MOST_HEADER_BYTES", 500)
    with pytest.raises(ExeuntError, match="5 names take"):
        save_table(tmp_path / "t.exits", make_table())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("length", [0, 4, 8, 100, -50, -1])
def test_a_file_cut_short_is_refused_by_name(file: Path, length: int) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[:length])
    with pytest.raises(ExeuntError, match=r"t\.exits: damaged"):
        load_table(file)


def test_a_file_with_more_behind_it_is_refused(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(ExeuntError, match=r"t\.exits: damaged"):
        load_table(file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ExeuntError, match=r"none\.exits: no such file"):
        load_table(tmp_path / "none.exits")


def describe(**change: Any) -> str:
    """The description of `make_table`, changed; `...` takes a key out."""
    table = make_table()
    values = {"format": 1} | {name: getattr(table, name) for name in DESCRIBED} | change
    return json.dumps({key: value for key, value in values.items() if value is not ...})


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "no recorded exits, but logits, targets"),
        ({"exeunt": "{}"}, "no recorded exits"),
        ({"exits": "{"}, "not a table of exits"),
        ({"exits": "[]"}, "no JSON object"),
        ({"exits": describe(format=2)}, "format 2; this exeunt reads 1"),
        ({"exits": describe(format=...)}, "format None"),
        ({"exits": describe(split=...)}, "keys missing or unknown: split"),
        ({"exits": describe(colour="red")}, "keys missing or unknown: colour"),
        ({"exits": describe(names=["a"])}, "1 names"),
        ({"exits": describe(names=5)}, "not a table of exits"),
        ({"exits": describe(exit_macs=[1, "b", 3])}, "not a table of exits"),
        ({"exits": describe(exit_ms=[math.inf] * 3)}, r"exit_ms must be a list or null"),
        ({"exits": describe(task="regression")}, "7 outputs per exit"),
    ],
)
def test_other_descriptions_are_refused(
    metadata: dict[str, str] | None, message: str, tmp_path: Path
) -> None:
    table, path = make_table(), tmp_path / "t.exits"
    save_file({"logits": table.logits, "targets": table.targets}, path, metadata=metadata)
    with pytest.raises(ExeuntError, match=message) as caught:
        load_table(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"logits": torch.zeros(3, 5, 7)}, "but logits;"),
        ({f"stages.{k}": torch.zeros(1) for k in range(9)}, r"stages\.3, \.\.\.;"),
        ({"logits": torch.zeros(3, 4, 7), "targets": torch.zeros(4).long()}, "5 names"),
        ({"logits": torch.zeros(3, 5, 7).double(), "targets": torch.zeros(5).long()}, "float64"),
        ({"logits": torch.zeros(3, 5, 7), "targets": torch.zeros(5)}, "targets of classification"),
    ],
)
def test_other_tensors_are_refused(
    tensors: dict[str, torch.Tensor], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "t.exits"
    save_file(tensors, path, metadata={"exits": describe()})
    with pytest.raises(ExeuntError, match=message) as caught:
        load_table(path)
    assert str(caught.value).startswith(str(path))
