"""Every command that writes, killed at each step that it takes on disk: what stood there still
does, or the new is whole, and the same command then succeeds and leaves nothing else.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from exeunt.models import load_weights

pytestmark = pytest.mark.skipif(os.name != "posix", reason="processes are forked")


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images, one of a person."""
    root = tmp_path_factory.mktemp("coco")
    (root / "annotations").mkdir()
    for part in ("train", "val"):
        files = [{"id": i, "file_name": f"{i}.jpg", "width": 9, "height": 9} for i in (1, 2)]
        (root / f"{part}2017").mkdir()
        for file in files:
            (root / f"{part}2017" / str(file["file_name"])).touch()
        box = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5], "area": 20, "iscrowd": 0}
        said = {
            "images": files,
            "annotations": [box],
            "categories": [{"id": 1, "name": "person"}],
        }
        path = root / "annotations" / f"instances_{part}2017.json"
        path.write_text(json.dumps(said))
    return root


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


ONE_FILE = {
    "calibrate": ("calibrate", "TINY", "IMAGES", "--policy", "full", "--out"),
    "report": ("report", "TINY", "IMAGES", "--thumbnails", 0, "--out"),
    "eval": ("eval", "TINY", "IMAGES", "--csv"),
    "profile": ("profile", "TINY", "--convention", "layerwise", "--csv"),
    "bench": ("bench", "TINY", "--engines", "torch", "--runs", 1, "--batch-size", 1, "--csv"),
    "demo": ("demo", "IMAGE", "--model", "TINY", "--out"),
    "vww": ("vww", "COCO", "--out"),
}
ENDINGS = {"calibrate": ".safetensors", "report": ".html", "demo": ".png"}


@pytest.mark.parametrize("command", ONE_FILE)
def test_commands_that_write_a_file(
    command: str,
    tiny: Path,
    images: Path,
    coco: Path,
    exeunt: Callable[..., Any],
    tmp_path: Path,
    killed_everywhere: Callable[..., int],
) -> None:
    given = {"TINY": tiny, "IMAGES": images, "IMAGE": images / "dots" / "00.png", "COCO": coco}
    arguments = [given.get(str(word), word) for word in ONE_FILE[command]]
    out = tmp_path / "made" / f"x{ENDINGS.get(command, '.csv')}"
    seen: list[bytes] = []

    def prepare() -> None:
        if command == "calibrate":
            out.parent.mkdir()
            shutil.copy(tiny, out)
        elif command != "vww":  # that one is fresh
            out.parent.mkdir()
            out.write_bytes(b"old")
        seen[:] = [out.read_bytes()] if out.exists() else seen

    def work() -> None:
        done = exeunt(*arguments, out)
        assert done.status == 0, done.err

    def check() -> None:
        if not out.exists():
            assert command == "vww"
        elif command == "bench" and out.read_bytes() != b"old":
            assert len(out.read_text().splitlines()) == 3
        else:
            assert out.read_bytes() in (*seen, whole)

    prepare()
    work()
    whole = out.read_bytes()
    assert whole != b"old"
    assert killed_everywhere(tmp_path, prepare, work, check, last=3) == 3


def test_record(
    tiny: Path,
    images: Path,
    exeunt: Callable[..., Any],
    tmp_path: Path,
    killed_everywhere: Callable[..., int],
) -> None:
    out = tmp_path / "a" / "t.exits"

    def work(*more: str) -> None:
        done = exeunt("record", tiny, images, "--batch-size", 16, "--out", out, *more)
        assert done.status == 0, done.err

    def check() -> None:
        assert not out.exists() or out.read_bytes() == whole

    def finish() -> None:
        work("--resume")
        assert out.read_bytes() == whole

    work()
    whole = out.read_bytes()
    assert killed_everywhere(tmp_path, lambda: None, work, check, finish) > 8


@pytest.mark.parametrize("target", ["c", "onnx"])
@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_export(
    target: str,
    dtype: str,
    tiny: Path,
    images: Path,
    exeunt: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    killed_everywhere: Callable[..., int],
) -> None:
    """Over an older one, in which a file of the user's lies. What is chosen on images is chosen
    once; only what writes is killed.
    """
    if target == "onnx":
        pytest.importorskip("onnxruntime")
    module = import_module(f"exeunt.export.{target}")
    name, net, models = f"write_{target}", tmp_path / "net", list[Any]()
    write = getattr(module, name)

    def note(model: Any, folder: Path, *more: Any) -> Any:
        models.append(model)
        return write(model, folder, *more)

    monkeypatch.setattr(module, name, note)
    for policy in ("full", "consistency:1"):
        options = ("--target", target, "--dtype", dtype, "--policy", policy, "--limit", 4)
        done = exeunt("export", tiny, "--calibration", images, *options, "--out", net)
        assert done.status == 0, done.err

    def prepare() -> None:
        write(models[0], net)
        (net / "app.c").write_text("mine")

    def work() -> None:
        write(models[1], net)

    def check() -> None:
        assert contents(net) in (before, after)

    prepare()
    before = contents(net)
    work()
    after = contents(net)
    assert before != after
    assert before.keys() == after.keys()
    assert killed_everywhere(tmp_path, prepare, work, check) > 12


def test_train(
    tiny: Path,  # whose architecture it is
    images: Path,
    exeunt: Callable[..., Any],
    tmp_path: Path,
    killed_everywhere: Callable[..., int],
) -> None:
    out = tmp_path / "runs" / "a"
    settings = ("--model", "two_convolutions", "--image-size", 32, "--epochs", 1, "--limit", 20)

    def work(*more: str) -> None:
        done = exeunt("train", images, *settings, "--workers", 0, "--out", out, *more)
        assert done.status == 0, done.err

    def check() -> None:
        for name in ("best", "last"):
            if (out / f"{name}.safetensors").exists():
                assert contents(out)[f"{name}.safetensors"]

    def finish() -> None:
        work("--resume")
        assert curve() == whole
        found = load_weights(out / "best.safetensors")[0].state_dict()
        assert all(torch.equal(found[name], tensor) for name, tensor in best.items())

    def curve() -> list[list[str]]:
        """Without the columns of time."""
        lines = (out / "metrics.csv").read_text().splitlines()
        return [line.split(",")[3:] for line in lines]

    work()
    whole, best = curve(), load_weights(out / "best.safetensors")[0].state_dict()
    assert killed_everywhere(tmp_path, lambda: None, work, check, finish) > 12
