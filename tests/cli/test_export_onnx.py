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
    assert manifest["weights"]["data"]["licence"] == "made by the tests"
    assert set(manifest["versions"]) == {"exeunt", "onnx", "onnxruntime", "torch", "python"}
    files = {stage["file"] for stage in manifest["stages"]} | {"manifest.json", "run.py"}
    files |= {manifest["stages"][0]["stem"][part]["file"] for part in ("weights", "rest")}
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


def test_one_graph_comes_with_a_warning(weights: Path, tmp_path: Path, exeunt: Any) -> None:
    made = exeunt("export", weights, "--target", "onnx", "--single-file", "--out", tmp_path / "x")
    assert made.status == 0, made.err
    assert "net.onnx" in made.out
    assert "would leave its branches in float32" in made.out
    assert (tmp_path / "x" / "net.onnx").exists()
    done = exeunt("export", weights, "--single-file", "--out", tmp_path / "y")
    assert done.status == 2
    assert "--single-file is for --target onnx" in done.err


def test_what_is_for_c_is_refused(weights: Path, tmp_path: Path, exeunt: Any) -> None:
    for options in (("--name", "x"), ("--ranges", "minmax"), ("--budget-kib", "9")):
        done = exeunt("export", weights, "--target", "onnx", *options, "--out", tmp_path / "x")
        assert done.status == 2
        assert f"{options[0]}" in done.err
        assert "is for --target c" in done.err
    assert not (tmp_path / "x").exists()


def test_what_is_for_onnx_is_refused_elsewhere(weights: Path, tmp_path: Path, exeunt: Any) -> None:
    done = exeunt("export", weights, "--quantize-rex", "--out", tmp_path / "x")
    assert done.status == 2
    assert "--quantize-rex is for --target onnx" in done.err
    done = exeunt("export", weights, "--target", "onnx", "--quantize-rex", "--out", tmp_path / "x")
    assert done.status == 2
    assert "--quantize-rex is for --dtype int8" in done.err
    assert not (tmp_path / "x").exists()


INT8 = ("--target", "onnx", "--dtype", "int8", "--calibration")


@pytest.fixture(scope="module")
def int8(
    weights: Path, images: Path, exeunt: Any, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out: Path = tmp_path_factory.mktemp("int8") / "tiny"
    made = exeunt("export", weights, *INT8, images, "--out", out)
    assert made.status == 0, made.err
    assert made.err == ""
    assert "  in float32  " in made.out
    assert "stages.0.trunk.rex" in made.out
    return out


def test_int8_says_what_it_loses(int8: Path, folder: Path, weights: Path) -> None:
    manifest, before = (json.loads((one / "manifest.json").read_text()) for one in (int8, folder))
    assert (manifest["dtype"], before["dtype"]) == ("int8", "float32")
    assert manifest["in_float32"] == ["stages.0.trunk.stem.conv", "stages.0.trunk.rex.rex"]
    found = manifest["calibration"]
    assert found["images"] == 9
    for key in ("exit_accuracy", "exit_accuracy_float32", "exit_agreement"):
        assert len(found[key]) == 6
        assert all(share * 9 == pytest.approx(round(share * 9)) for share in found[key])
    size, larger = (sum(s["size_bytes"] for s in m["stages"]) for m in (manifest, before))
    assert size < 0.6 * larger


def test_int8_is_run_like_any_other(int8: Path, weights: Path, images: Path, exeunt: Any) -> None:
    options = ("--json", "--policy", "full")
    found, expected = (
        answers(exeunt("predict", model, images, *options)) for model in (int8, weights)
    )
    same = sum(a["class"] == b["class"] for a, b in zip(found, expected, strict=True))
    assert same >= 40  # random weights, and ranges of nine images
    off = [abs(a["probability"] - b["probability"]) for a, b in zip(found, expected, strict=True)]
    assert 0 < sum(off) / len(off) < 0.15


def test_thresholds_go_along(weights: Path, images: Path, tmp_path: Path, exeunt: Any) -> None:
    """As many calibration images reach each of them as in float32; a given policy stays."""
    fixed = ("--policy", "confidence:0.6")
    for options, wanted in (((), "consistency:1"), (fixed, "confidence:0.6")):
        out = tmp_path / str(len(options))
        made = exeunt("export", weights, *INT8, images, *options, "--out", out, "--json")
        (report,) = answers(made)
        assert report["policy"] == wanted


def test_int8_wants_images(weights: Path, tmp_path: Path, exeunt: Any) -> None:
    done = exeunt("export", weights, *INT8[:-1], "--out", tmp_path / "x")
    assert done.status == 2
    assert "give --calibration DATA" in done.err
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
    assert "no.png: a text file" in done.err
    assert len(done.out.splitlines()) == 1
