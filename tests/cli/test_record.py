"""`exeunt record`, and `exeunt eval` of what it wrote."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from exeunt.data import SplitSpec, Transform, fingerprint, make_splits, open_source
from exeunt.evaluate import exit_rows, load_table, weights_fingerprint
from exeunt.models import load_weights

Exeunt = Callable[..., Any]


def rows(text: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, text.splitlines()) if line["kind"] != "run"]


@pytest.fixture
def recorded(exeunt: Exeunt, weights: Path, images: Path, tmp_path: Path) -> Path:
    """The test split as a table file."""
    assert exeunt("record", weights, images, "--out", tmp_path / "t.exits").status == 0
    return tmp_path / "t.exits"


def test_the_file_says_what_was_recorded(
    recorded: Path, weights: Path, images: Path, spec: SplitSpec
) -> None:
    table = load_table(recorded)
    net, info = load_weights(weights)
    samples = make_splits(open_source(images), spec).test
    assert table.names == tuple(sample.name for sample in samples)
    assert table.split == "test"
    assert table.class_names == tuple(info.class_names)
    assert table.exit_macs == tuple(row.macs for row in net.exit_info(32))
    assert table.weights_fingerprint == weights_fingerprint(net)
    assert table.data_fingerprint == fingerprint(samples)
    assert table.logits.dtype == torch.float32


def test_it_prints_what_was_written(
    exeunt: Exeunt, weights: Path, images: Path, tmp_path: Path
) -> None:
    path = tmp_path / "runs" / "c.exits"
    options = ("--split", "calibration", "--limit", 7, "--batch-size", 3, "--float16")
    run = exeunt("record", weights, images, *options, "--out", path)
    assert run.status == 0
    assert run.err == "", "no progress bar without a terminal"
    table = load_table(path)
    assert (len(table), table.split, table.logits.dtype) == (7, "calibration", torch.float16)
    facts, exits = run.out.split("\n\n")
    assert "calibration: 7 images" in facts
    assert "6, 3 classes, float16" in facts
    assert f"{path}, {path.stat().st_size / 1e6:.2f} MB" in facts
    for line, row in zip(exits.splitlines()[1:], exit_rows(table), strict=True):
        assert line.split()[:2] == [str(row.index + 1), f"{100 * row.accuracy:.1f}"]


def test_regression(exeunt: Exeunt, regression: Path, table_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "r.exits"
    run = exeunt("record", regression, table_file, "--out", path)
    assert run.status == 0
    row = exit_rows(load_table(path))[0]
    assert run.out.splitlines()[5].split()[:2] == ["1", f"{row.mae:.4g}"]
    assert "classes" not in run.out
    assert "mae" in exeunt("eval", path).out


def test_what_is_there_is_kept(recorded: Path, exeunt: Exeunt, weights: Path, images: Path) -> None:
    before = recorded.read_bytes()
    run = exeunt("record", weights, images, "--out", recorded)
    assert run.status == 2
    assert run.err == f"exeunt: error: {recorded} is there already; choose another --out\n"
    again = exeunt("record", weights, images, "--out", recorded, "--resume")
    assert again.status == 0
    assert "test: 18 images" in again.out
    run = exeunt("record", weights, images, "--out", recorded, "--resume", "--float16")
    assert run.status == 2
    assert "a recording with dtype='float32', not 'float16'" in run.err
    assert recorded.read_bytes() == before


def test_an_unreadable_image_is_named_after_a_resumption_too(
    exeunt: Exeunt, weights: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, path = tmp_path / "data", tmp_path / "t.exits"
    for name in ("dots", "noise", "waves"):
        (data / name).mkdir(parents=True)
        for i in range(40):
            (data / name / f"{i:02}.png").symlink_to(images / name / f"{i % 20:02}.png")
    bad = data / "dots" / "00.png"
    bad.unlink()
    bad.write_bytes(b"not an image")
    opened, load = 0, Image.open

    def open_some(*arguments: Any, **more: Any) -> Any:
        nonlocal opened
        opened += 1
        if opened > 60:
            raise KeyboardInterrupt
        return load(*arguments, **more)

    command = ("record", weights, data, "--split", "all", "--batch-size", 8, "--out", path)
    with monkeypatch.context() as patch:
        patch.setattr(Image, "open", open_some)
        assert exeunt(*command).status == 130
    assert not path.exists()
    run = exeunt(*command)
    assert run.status == 2
    assert "--resume goes on with it" in run.err
    run = exeunt(*command, "--resume")
    assert run.status == 0
    assert run.err == "exeunt: warning: dots/00.png: not a readable image, left out\n"
    assert len(load_table(path)) == 119


def test_other_classes_are_refused(
    exeunt: Exeunt, weights: Path, images: Path, tmp_path: Path
) -> None:
    for name, other in (("dots", "dots"), ("noise", "snow")):
        (tmp_path / "data" / other).mkdir(parents=True)
        (tmp_path / "data" / other / "0.png").symlink_to(images / name / "00.png")
    run = exeunt("record", weights, tmp_path / "data", "--out", tmp_path / "t.exits")
    assert run.status == 2
    assert "the weights do not know: 'snow'; they know" in run.err
    assert not (tmp_path / "t.exits").exists()


def test_a_table_is_evaluated_as_its_model_is(
    recorded: Path, exeunt: Exeunt, weights: Path, images: Path
) -> None:
    of_table = rows(exeunt("eval", recorded, "--json").out)
    of_model = rows(exeunt("eval", weights, images, "--json").out)
    assert any(row.get("stored") for row in of_model)
    for row in [*of_table, *of_model]:
        row.pop("stored", None)
    assert of_table == of_model
    text = exeunt("eval", recorded, "--policy", "margin:0.25").out
    assert f"{recorded}, test: 18 images" in text
    assert load_table(recorded).weights_fingerprint in text
    assert "*" not in text
    assert text.splitlines()[-1].startswith("margin:0.25 ")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--limit", 3), "--limit needs MODEL and DATA"),
        (("--split", "test"), "--split needs MODEL and DATA"),
        (("--batch-size", 64), "--batch-size needs MODEL and DATA"),
        (("--policy", "consistency:1,eta=2"), "is for regression"),
    ],
)
def test_what_a_table_cannot_be_asked(
    arguments: tuple[Any, ...], text: str, recorded: Path, exeunt: Exeunt
) -> None:
    run = exeunt("eval", recorded, *arguments)
    assert run.status == 2
    assert text in run.err


def test_a_model_is_evaluated_on_data(exeunt: Exeunt, weights: Path, tmp_path: Path) -> None:
    run = exeunt("eval", weights)
    assert run.status == 2
    assert "give DATA" in run.err
    (tmp_path / "t.exits").write_bytes(b"nothing")
    run = exeunt("eval", tmp_path / "t.exits")
    assert run.status == 2
    assert "t.exits: damaged" in run.err


def test_a_killed_loading_process_is_called_so(
    exeunt: Exeunt, weights: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent, order = os.getpid(), Transform.__call__

    def die(self: Transform, image: Any) -> Any:
        if os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return order(self, image)

    monkeypatch.setattr(Transform, "__call__", die)
    out = tmp_path / "t.exits"
    run = exeunt("record", weights, images, "--workers", 1, "--out", out)
    assert run.status == 2
    monkeypatch.undo()
    assert "error: a process that loads images was killed (" in run.err
    assert "give fewer --workers" in run.err
    assert exeunt("record", weights, images, "--out", out, "--resume").status == 0
