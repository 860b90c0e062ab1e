"""`exeunt export --target onnx`, and `exeunt predict` with what it wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def folder(weights: Path, exeunt: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out: Path = tmp_path_factory.mktemp("onnx") / "tiny"
    made = exeunt("export", weights, "--target", "onnx", "--out", out)
    assert made.status == 0, made.err
    assert "6 files" in made.out
    return out


def answers(result: Any) -> list[dict[str, Any]]:
    assert result.status == 0, result.err
    return [json.loads(line) for line in result.out.splitlines()]


@pytest.mark.parametrize("options", [(), ("--policy", "confidence:0.6"), ("--top", "3")], ids=str)
def test_the_folder_says_what_the_weights_say(
    folder: Path, weights: Path, images: Path, exeunt: Any, options: tuple[str, ...]
) -> None:
    found, expected = (
        answers(exeunt("predict", model, images, "--json", *options)) for model in (folder, weights)
    )
    assert len(found) == 60
    for one, other in zip(found, expected, strict=True):
        assert one.pop("probability") == pytest.approx(other.pop("probability"), abs=1e-4)
        for rank, same in zip(one.pop("top", []), other.pop("top", []), strict=True):
            assert rank["class"] == same["class"]
            assert rank["probability"] == pytest.approx(same["probability"], abs=1e-4)
        assert one == other


def test_for_people_too(folder: Path, images: Path, exeunt: Any) -> None:
    done = exeunt("predict", folder, images / "dots" / "00.png")
    assert done.status == 0, done.err
    assert "of the MACs" in done.out


def test_the_manifest_says_what_it_is(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["policy"] == "consistency:1"
    assert manifest["class_names"] == ["dots", "noise", "waves"]
    assert manifest["image"] == {"name": "image", "shape": [3, 32, 32]}
    assert manifest["metrics"]["test"]["exits"][1] == {"accuracy": 0.375}
    assert set(manifest["versions"]) == {"exeunt", "onnx", "torch", "python"}
    files = {stage["file"] for stage in manifest["stages"]} | {"manifest.json", "run.py"}
    assert files == {path.name for path in folder.iterdir()}
    macs = [stage["macs"] for stage in manifest["stages"]]
    assert macs == sorted(macs)


def test_a_policy_is_chosen_on_images(
    weights: Path, images: Path, tmp_path: Path, exeunt: Any
) -> None:
    options = ("--target", "onnx", "--calibration", images, "--budget-fraction", "0.8")
    made = exeunt("export", weights, *options, "--out", tmp_path / "x", "--json")
    (report,) = answers(made)
    assert report["calibration"]["images"] == 9
    assert report["calibration"]["saving"] >= 0.19
    assert json.loads((tmp_path / "x" / "manifest.json").read_text())["policy"] == report["policy"]


def test_values_leave_early_too(
    regression: Path, images: Path, tmp_path: Path, exeunt: Any
) -> None:
    out = tmp_path / "values"
    assert exeunt("export", regression, "--target", "onnx", "--out", out).status == 0
    found, expected = (
        answers(exeunt("predict", model, images, "--json")) for model in (out, regression)
    )
    for one, other in zip(found, expected, strict=True):
        assert one.pop("value") == pytest.approx(other.pop("value"), abs=1e-4)
        assert one == other


def test_what_is_for_c_is_refused(weights: Path, tmp_path: Path, exeunt: Any) -> None:
    for options in (("--dtype", "int8"), ("--name", "x"), ("--budget-kib", "9")):
        done = exeunt("export", weights, "--target", "onnx", *options, "--out", tmp_path / "x")
        assert done.status == 2
        assert f"{options[0]}" in done.err
        assert "is for --target c" in done.err
    assert not (tmp_path / "x").exists()


def test_a_damaged_folder_is_one_line(folder: Path, images: Path, exeunt: Any) -> None:
    stage = folder / "stage_2.onnx"
    data = stage.read_bytes()
    try:
        stage.write_bytes(data[:-1])
        done = exeunt("predict", folder, images)
    finally:
        stage.write_bytes(data)
    assert done.status == 2
    assert "stage_2.onnx: not the file that was exported" in done.err


def test_a_folder_without_its_manifest_is_one_line(
    folder: Path, images: Path, tmp_path: Path, exeunt: Any
) -> None:
    (tmp_path / "stage_1.onnx").write_bytes((folder / "stage_1.onnx").read_bytes())
    done = exeunt("predict", tmp_path, images)
    assert done.status == 2
    assert "manifest.json: cannot be read" in done.err


def test_an_unreadable_image_is_named_and_the_others_go_on(
    folder: Path, images: Path, tmp_path: Path, exeunt: Any
) -> None:
    (tmp_path / "no.png").write_bytes(b"no")
    done = exeunt("predict", folder, tmp_path / "no.png", images / "dots" / "00.png", "--json")
    assert done.status == 1
    assert "no.png: not a readable image" in done.err
    assert len(done.out.splitlines()) == 1
