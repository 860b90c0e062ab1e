"""Weights of one's own loop: what is not known of them is said, and only what needs it refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exeunt.models import load_weights, save_weights


@pytest.fixture
def own(weights: Path, tmp_path: Path) -> Path:
    net, info = load_weights(weights)
    unknown: Any = {"data": {}, "split": {}, "metrics": {}, "versions": {}, "command": ""}
    save_weights(tmp_path / "own.safetensors", net.state_dict(), replace(info, **unknown))
    return tmp_path / "own.safetensors"


def test_info(own: Path, exeunt: Any) -> None:
    done = exeunt("info", own)
    assert done.status == 0
    for line in ("data  ", "data licence  ", "splits  ", "made by  ", "with  "):
        (found,) = (text for text in done.out.splitlines() if text.startswith(line))
        assert "not stated" in found


@pytest.mark.parametrize("words", [("eval",), ("report",), ("record", "--split", "test")])
def test_it_is_run(own: Path, images: Path, tmp_path: Path, exeunt: Any, words: Any) -> None:
    verb, *options = words
    out = {"report": ["--out", tmp_path / "x.html"], "record": ["--out", tmp_path / "x.exits"]}
    done = exeunt(verb, own, images, *options, *out.get(verb, []))
    assert done.status == 0, done.err
    if verb == "eval":
        assert "the weights do not say what they were made from" in done.out


def test_calibrate_warns(own: Path, images: Path, exeunt: Any) -> None:
    done = exeunt("calibrate", own, images, "--policy", "confidence:0.5")
    assert done.status == 0, done.err
    assert "nothing says whether these are the images of the training" in done.err


def test_other_names_and_an_ascii_terminal(weights: Path, images: Path, tmp_path: Path) -> None:
    """In a process whose locale knows ASCII alone."""
    place = tmp_path / "dépôt"
    place.mkdir()
    shutil.copytree(images, place / "données", ignore=shutil.ignore_patterns("*.csv"))
    (place / "données" / "dots" / "00.png").rename(place / "données" / "dots" / "dé.png")
    shutil.copy(weights, place / "poids.safetensors")
    net, info = load_weights(weights)
    changed = replace(info, class_names=["dés", "bruit", "vagues"])
    save_weights(place / "français.safetensors", net.state_dict(), changed)
    here = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    model = "dépôt/poids.safetensors"
    commands = [
        ["info", "dépôt/français.safetensors", "--draw", "dépôt/é.svg"],
        ["predict", "dépôt/français.safetensors", "dépôt/données/dots/dé.png"],
        ["profile", model, "--csv", "dépôt/é.csv"],
        ["export", model, "--target", "c", "--dtype", "float32", "--out", "dépôt/c"],
        ["export", model, "--target", "onnx", "--out", "dépôt/onnx"],
        ["eval", model, "dépôt/données", "--csv", "dépôt/éval.csv"],
    ]
    code = f"""if True:
        import os, sys
        from exeunt.cli import app
        assert sys.getfilesystemencoding() == "ascii"
        for words in {[[os.fsencode(word) for word in words] for words in commands]}:
            assert not app([*map(os.fsdecode, words)], standalone_mode=False), words
    """
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=os.environ | here, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    for name in ("é.svg", "é.csv", "éval.csv", "c/report.json", "onnx/manifest.json"):
        assert (place / name).stat().st_size
    assert "dépôt/poids" in (place / "é.csv").read_text(encoding="utf-8")
