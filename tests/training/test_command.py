"""`exeunt train` as a user types it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from exeunt.cli import app
from exeunt.models import load_weights
from exeunt.training.terminal import TerminalProgress

SETTINGS = {"model": "rex_mobilenetv2_035", "image-size": 32, "epochs": 1, "batch-size": 16}
OPTIONS = [*(f"--{key}={value}" for key, value in SETTINGS.items()), "--workers=0"]


def exeunt(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_run_says_what_it_does(colours: Path, tmp_path: Path) -> None:
    options = (*OPTIONS, "--set", "rex_form=paper", "--limit", 30)
    result = exeunt("train", colours, *options, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    lines = result.stderr.splitlines()
    assert lines.pop(0) == "3 classes: blue, green, red"
    assert lines[0] == (
        "rex_mobilenetv2_035 at 32 px: 24 images to train on, 6 to calibrate, 24 to test"
    )
    assert lines[1].startswith("epoch   1/1 ")
    assert "calibration accuracy by exit" in lines[1]
    assert lines[2].startswith("policy: 6 calibration images cannot tell the exits apart.")
    assert lines[3].startswith("calibration (6 images): accuracy by exit")
    assert lines[4].startswith("test (24 images): accuracy by exit")
    assert lines[4].endswith("with full 33.3, 0.0 % of the MACs saved; always 'blue' scores 33.3 %")
    assert lines[5] == f"weights: {tmp_path / 'run' / 'best.safetensors'}"
    assert "\x1b" not in result.output, "no bar and no colours where there is no terminal"


def test_a_run_says_what_is_odd_about_its_data(colours: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(colours, data)
    (data / "train" / "red" / "a.heic").touch()
    (data / "train" / "grey").mkdir()
    shutil.rmtree(data / "val" / "blue")
    shutil.copy(data / "val" / "red" / "0.png", data / "train" / "green" / "copy.png")
    result = exeunt("train", data, *OPTIONS, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    lines = result.stderr.splitlines()
    assert lines[:3] == [
        "3 classes: blue, green, red",
        "left out: 1 .heic (train/red/a.heic), 1 empty class folder (train/grey)",
        "test: no images of blue",
    ]
    assert lines[3].startswith("identical images: 1 both in train and test (train/green/copy.")
    assert lines[3].endswith("1 under two labels (train/green/copy.png is val/red/0.png)")


def test_options_override_the_recipe(colours: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'model = "mobilenetv2_035"\nimage_size = 32\nepochs = 9\nlr = 0.01\nlimit = 30\n'
    )
    out = tmp_path / "run"
    result = exeunt(
        "train",
        colours,
        "--recipe",
        recipe,
        "--epochs",
        1,
        "--no-flip",
        "--workers",
        0,
        "--out",
        out,
    )
    assert result.exit_code == 0, result.output
    config = json.loads((out / "run.json").read_text())["config"]
    kept = {key: config[key] for key in ("model", "epochs", "lr", "flip", "limit", "momentum")}
    assert kept == {
        "model": "mobilenetv2_035",
        "epochs": 1,
        "lr": 0.01,
        "flip": False,
        "limit": 30,
        "momentum": 0.9,
    }


def test_arguments_of_the_architecture(colours: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    sets = ("--set", "downsample=lift", "--set", "width=0.3")
    options = ["--model=mobilenetv2", *OPTIONS[1:], "--limit=30"]
    result = exeunt("train", colours, *options, *sets, "--out", out)
    assert result.exit_code == 0, result.output
    net, info = load_weights(out / "best.safetensors")
    assert info.arguments["downsample"] == "lift"
    assert info.arguments["width"] == 0.3
    assert "lift" in dict(net.stages[0].trunk.named_children())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--model", "rex_mobilnetv2"],
            "unknown model 'rex_mobilnetv2'; did you mean rex_mobilenetv2",
        ),
        ([], "no model; give one"),
        (["--model", "mobilenetv2", "--set", "width"], "--set width: give KEY=VALUE"),
        (["--model", "mobilenetv2", "--set", "depth=3"], "depth"),
        (["--model", "mobilenetv2", "--set", "downsample=sum"], "downsample='sum'; one of rex"),
        (["--model", "mobilenetv2", "--precision", "half"], "precision='half'; one of float32"),
        (["--recipe", "none.toml"], "none.toml: cannot be read"),
        (["--model", "mobilenetv2", "--exits", "1,99"], "exits: no block 99"),
        (["--model", "mobilenetv2", "--device", "cuda:7"], "device 'cuda:7' cannot be used"),
    ],
)
def test_mistakes_are_answered_in_one_line(
    colours: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    result = exeunt("train", colours, *arguments, "--out", tmp_path / "run")
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists(), "nothing is written for a run that cannot start"


def test_a_run_goes_on_by_its_own_record(
    colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after its first epoch, from another folder, without a word on data and settings."""
    out = tmp_path / "my run"
    options = [*OPTIONS[:-2], "--batch-size=16", "--workers=0", "--epochs=2", "--limit=30"]
    epoch = TerminalProgress.epoch

    def stop(progress: TerminalProgress, entry: dict[str, Any]) -> None:
        epoch(progress, entry)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.chdir(colours.parent)
        patch.setattr(TerminalProgress, "epoch", stop)
        result = exeunt("train", colours.name, *options, "--lr", 0.02, "--out", out)
    assert result.exit_code == 130
    told = result.stderr.splitlines()[-2]
    command = f"exeunt train --resume --out '{out}' --workers 0"
    assert told == f"stopped; go on with: {command}"
    for other in (["--lr", 0.03], ["--epochs", 3], ["--set", "width=0.3"]):
        refused = exeunt("train", "--resume", "--out", out, *other)
        assert refused.exit_code == 2
        assert f"{out} was started with config." in refused.stderr
    monkeypatch.chdir(tmp_path)
    result = exeunt(*shlex.split(command)[1:])
    assert result.exit_code == 0, result.output
    assert "resuming after epoch 1 of 2" in result.stderr
    record = json.loads((out / "run.json").read_text())
    assert record["finished"]
    assert record["config"]["lr"] == 0.02
    assert len((out / "metrics.csv").read_text().splitlines()) == 3


def test_without_a_run_there_is_nothing_to_go_on_with(tmp_path: Path) -> None:
    result = exeunt("train", "--resume", "--out", tmp_path / "none")
    assert result.exit_code == 2
    assert f"{tmp_path / 'none'} holds no run to go on with; give DATA" in result.stderr
    result = exeunt("train", "--model", "mobilenetv2", "--out", tmp_path / "none")
    assert "give DATA" in result.stderr


@pytest.mark.slow
def test_ctrl_c_ends_quietly_and_can_be_resumed(colours: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "exeunt", "train", str(colours), "--out", str(out)]
    options = ["--model=rex_mobilenetv2_035", "--image-size=32", "--batch-size=16", "--epochs=40"]
    process = subprocess.Popen(
        [*command, *options, "--workers=1"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # shells ignore it behind &
    )
    while not (out / "metrics.csv").exists():
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to the workers too
    shown, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors + shown
    assert f"go on with: exeunt train --resume --out {out}" in errors
    assert "exeunt: interrupted" in errors
    refused = exeunt("train", colours, "--out", out, *options)
    assert refused.exit_code == 2
    assert "--resume" in refused.stderr


def test_freed_memory_is_kept() -> None:
    """In a process of its own: the resident size after 200 MB were freed."""
    program = """
import torch
from exeunt.training.allocator import keep_freed_memory
kept = keep_freed_memory()
blocks = [torch.ones(5_000_000) for _ in range(10)]
del blocks
pages = int(open('/proc/self/statm').read().split()[1])
print(kept, pages * 4096 > 300e6)
"""
    if not sys.platform.startswith("linux"):
        pytest.skip("mallopt is glibc's")
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    kept, resident = shown.stdout.split()
    assert kept == resident or kept == "False"
