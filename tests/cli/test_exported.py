"""Folders of ONNX files in place of weights: for `eval`, `record`, `verify`, and not elsewhere."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exeunt.runner import digest, seal


@pytest.fixture(scope="module")
def folder(weights: Path, exeunt: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out: Path = tmp_path_factory.mktemp("onnx") / "tiny"
    assert exeunt("export", weights, "--target", "onnx", "--out", out).status == 0
    return out


def lines(result: Any) -> list[dict[str, Any]]:
    assert result.status == 0, result.err
    return [json.loads(line) for line in result.out.splitlines()]


@pytest.mark.parametrize("options", [(), ("--protocol", "budgeted")], ids=str)
def test_eval_says_of_the_folder_what_it_says_of_the_weights(
    folder: Path, weights: Path, images: Path, exeunt: Any, options: tuple[str, ...]
) -> None:
    found, expected = (
        lines(exeunt("eval", model, images, "--json", *options)) for model in (folder, weights)
    )
    run, other = found.pop(0), expected.pop(0)
    assert run.pop("weights_fingerprint") != other.pop("weights_fingerprint")
    assert (run.pop("model"), other.pop("model")) == (str(folder), str(weights))
    assert run == other
    assert len(found) == len(expected) > 6
    for one, same in zip(found, expected, strict=True):
        assert one.keys() == same.keys()
        if one["kind"] == "budgeted":  # thresholds that were solved for differ in the last digits
            assert one.pop("setting")[:15] == same.pop("setting")[:15]
        for key, value in one.items():
            near = pytest.approx(same[key], abs=1e-4) if isinstance(value, float) else same[key]
            assert value == near, key


def test_a_recording_of_a_folder(folder: Path, images: Path, tmp_path: Path, exeunt: Any) -> None:
    file = tmp_path / "test.exits"
    done = exeunt("record", folder, images, "--out", file)
    assert done.status == 0, done.err
    recorded, live = (lines(exeunt("eval", *of, "--json")) for of in ((file,), (folder, images)))
    assert [row for row in recorded if row["kind"] == "exit"] == [
        row for row in live if row["kind"] == "exit"
    ]


def test_verify_finds_the_same(folder: Path, images: Path, exeunt: Any) -> None:
    (found,) = lines(exeunt("verify", folder, "--images", images, "--json", "--split", "all"))
    assert (found["images"], found["exits"], found["dtype"]) == (60, 6, "float32")
    assert found["same"] == 1 - len(found["borderline"]) / 60
    assert 0 < found["largest_difference"] < 1e-4
    assert found["single_same"] is None
    assert sum(found["exit_shares"]) == pytest.approx(1)
    shown = exeunt("verify", folder, "--images", images)
    assert "beside PyTorch" in shown.out
    assert "same exit and class" in shown.out


def test_verify_runs_one_graph_too(
    weights: Path, images: Path, tmp_path: Path, exeunt: Any
) -> None:
    place = tmp_path / "x"
    options = ("--target", "onnx", "--single-file", "--policy", "confidence:0.3")
    assert exeunt("export", weights, *options, "--out", place).status == 0
    (found,) = lines(exeunt("verify", place, "--images", images, "--json", "--split", "all"))
    assert 1 - len(found["borderline"]) / 60 <= found["single_same"] <= 1
    assert "by one graph" in exeunt("verify", place, "--images", images).out
    whole = (place / "net.onnx").read_bytes()
    (place / "net.onnx").write_bytes(whole[:-1] + b"x")
    done = exeunt("verify", place, "--images", images)
    assert (done.status, "net.onnx: not the file that was exported" in done.err) == (2, True)
    (place / "net.onnx").unlink()
    done = exeunt("verify", place, "--images", images)
    assert (done.status, "net.onnx: cannot be read" in done.err) == (2, True)


def test_verify_of_int8_says_how_often_it_agrees(
    weights: Path, images: Path, tmp_path: Path, exeunt: Any
) -> None:
    options = ("--target", "onnx", "--dtype", "int8", "--calibration", images)
    assert exeunt("export", weights, *options, "--out", tmp_path / "x").status == 0
    (found,) = lines(exeunt("verify", tmp_path / "x", "--images", images, "--json"))
    assert found["largest_difference"] > 1e-3
    assert len(found["exit_agreement"]) == 6
    assert all(0.5 < share <= 1 for share in found["exit_agreement"])


def written_with(folder: Path, other: Path, change: Callable[[Any], object]) -> None:
    """A copy of a folder that was exported with another manifest."""
    shutil.copytree(folder, other)
    manifest = json.loads((other / "manifest.json").read_text())
    before = seal(manifest)
    change(manifest)
    first = other / manifest["stages"][0]["file"]
    first.write_bytes(first.read_bytes().replace(before.encode(), seal(manifest).encode()))
    manifest["stages"][0]["sha256"] = hashlib.sha256(first.read_bytes()).hexdigest()
    manifest["sha256"] = digest(manifest)
    (other / "manifest.json").write_text(json.dumps(manifest))


def test_verify_wants_what_export_wrote(weights: Path, images: Path, exeunt: Any) -> None:
    run = exeunt("verify", weights.parent, "--images", images)
    assert run.status == 2
    assert (
        f"{weights.parent}: no folder that `exeunt export` wrote; it has no report.json" in run.err
    )


def test_verify_wants_the_right_weights(
    folder: Path, regression: Path, images: Path, tmp_path: Path, exeunt: Any
) -> None:
    done = exeunt("verify", folder, "--images", images, "--weights", regression)
    assert done.status == 2
    assert "not the weights that" in done.err
    moved = tmp_path / "moved"
    written_with(folder, moved, lambda manifest: manifest.update(model="runs/gone"))
    done = exeunt("verify", moved, "--images", images)
    assert done.status == 2
    assert "was made of runs/gone, which is not here; give --weights" in done.err


@pytest.mark.parametrize("verb", ["report", "calibrate", "export"])
def test_what_needs_weights_says_so(
    verb: str, folder: Path, images: Path, tmp_path: Path, exeunt: Any
) -> None:
    options = {"report": (images,), "calibrate": (images, "--policy", "full"), "export": ()}[verb]
    done = exeunt(verb, folder, *options, "--out", tmp_path / "x.html")
    assert done.status == 2
    assert "is an exported folder of ONNX files, without weights" in done.err


def test_options_of_the_other_kind_are_refused(
    folder: Path, weights: Path, images: Path, exeunt: Any
) -> None:
    for verb in ("eval", "predict"):
        done = exeunt(verb, weights, images, "--engine", "onnxruntime")
        assert done.status == 2
        assert "--engine onnxruntime is for exported ONNX folders" in done.err
    done = exeunt("eval", folder, images, "--device", "cuda")
    assert done.status == 2
    assert "--device cuda" in done.err
    done = exeunt("verify", folder, "--images", images, "--device", "cortex-m4")
    assert done.status == 2
    assert "holds ONNX files" in done.err


def test_a_manifest_without_its_origin_is_named(
    folder: Path, images: Path, tmp_path: Path, exeunt: Any
) -> None:
    other = tmp_path / "x"
    written_with(folder, other, lambda manifest: manifest["weights"].pop("split"))
    done = exeunt("eval", other, images)
    assert done.status == 2
    assert "manifest.json: of its weights" in done.err
    assert "keys missing or unknown: split" in done.err
