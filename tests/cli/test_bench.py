"""`exeunt bench`."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exeunt.bench import ENGINES
from exeunt.bench.c import GeneratedC

QUICK = ("--runs", 2, "--batch-size", 3)


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_networks_side_by_side(exeunt: Callable[..., Any]) -> None:
    run = exeunt(
        *("bench", "rex_mobilenetv2_035", "--plain", "mobilenetv2_035", "--image-size", 32),
        *("--engines", "torch,onnxruntime,c", *QUICK),
    )
    assert run.status == 0, run.err
    assert "rex_mobilenetv2_035: random weights, nobody knows where images leave" in run.out
    assert "mobilenetv2_035, last exit alone: random weights" in run.out
    table = [line for line in run.out.splitlines() if " float32 " in line]
    engines = [line.split(" float32 ")[0].split()[-1] for line in table]
    assert engines == ["torch", "onnxruntime", "c"] * 2
    assert table[0].split()[-2] == "1.00"  # of the first row


def test_data_give_accuracy_and_shares(
    exeunt: Callable[..., Any], weights: Path, images: Path, tmp_path: Path
) -> None:
    """Shares and accuracy are those of `exeunt eval`, and the mean is weighted by them."""
    file, plot = tmp_path / "t.csv", tmp_path / "t.svg"
    run = exeunt(
        *("bench", weights, "--plain", weights, "--data", images, "--engines", "torch"),
        *(*QUICK, "--csv", file, "--plot", plot, "--json"),
    )
    assert run.status == 0, run.err
    machine, exits, alone = lines(run.out)
    assert machine["kind"] == "machine"
    assert machine["threads"] == 1
    assert machine["versions"].keys() >= {"exeunt", "torch", "python"}
    (stored,) = [
        row
        for row in lines(exeunt("eval", weights, images, "--json").out)
        if row.get("kind") == "policy" and row.get("stored")
    ]
    assert exits["accuracy"] == pytest.approx(stored["accuracy"])
    assert exits["exit_shares"] == pytest.approx(stored["exit_shares"])
    weighted = sum(s * ms for s, ms in zip(exits["exit_shares"], exits["min_ms"], strict=True))
    assert exits["mean_ms"] == pytest.approx(weighted)
    assert exits["policy"] == "consistency:1"
    assert exits["weights"] == "trained"
    assert alone["model"] == f"{weights.name}, last exit alone"
    assert alone["accuracy"] == exits["exit_accuracy"][-1]
    assert alone["mean_ms"] == alone["min_ms"][0]
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [row["exit"] for row in rows] == [*"123456", "mean", "1", "mean"]
    assert [float(row["min_ms"]) for row in rows[:6]] == exits["min_ms"]
    assert float(rows[6]["min_ms"]) == exits["mean_ms"]
    assert float(rows[6]["accuracy"]) == exits["accuracy"]
    drawn = plot.read_text()
    for text in ("k=1", "k=4", "torch, float32", "accuracy (%)", "milliseconds of an image"):
        assert text in drawn


@pytest.mark.slow
def test_integers_are_scored_themselves(
    exeunt: Callable[..., Any], weights: Path, images: Path
) -> None:
    run = exeunt(
        *("bench", weights, "--data", images, "--engines", "onnxruntime,c"),
        *("--dtype", "int8", "--dtype", "float32", *QUICK, "--json"),
    )
    assert run.status == 0, run.err
    _, *rows = lines(run.out)
    assert {(row["engine"], row["dtype"]) for row in rows} == {
        ("onnxruntime", "int8"),
        ("c", "int8"),
        ("onnxruntime", "float32"),
        ("c", "float32"),
    }
    assert all(0 <= row["accuracy"] <= 1 for row in rows)


def test_shares_are_lent(exeunt: Callable[..., Any]) -> None:
    shipped = "rex_mobilenetv2_075.imagenette"
    run = exeunt(
        *("bench", "mobilenetv2_035", "--image-size", 32, "--shares-from", shipped),
        *("--engines", "torch", *QUICK, "--json"),
    )
    (_, row) = lines(run.out)
    assert row["policy"].startswith("confidence:0.8")
    assert sum(row["exit_shares"]) == pytest.approx(1)
    assert row["shares_of"] == 1420
    assert row["exit_shares"][0] == pytest.approx(0.175352, abs=1e-6)


def test_engines_that_are_not_there_are_named(
    exeunt: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Absent(GeneratedC):
        name, packages, install = "absent", ("no_such_package",), "pip install it"

    monkeypatch.setitem(ENGINES, "absent", Absent())
    run = exeunt(
        *("bench", "mobilenetv2_035", "--image-size", 32, "--engines", "absent,torch"),
        *("--dtype", "float32", "--dtype", "int8", *QUICK),
    )
    assert run.status == 0
    assert "skipped: absent: no_such_package not installed: pip install it" in run.out
    assert "skipped: mobilenetv2_035 in torch, int8: int8 is not measured with it" in run.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mobilenetv2_035", "--engines", "abacus"), "'abacus': there are torch, compile"),
        (("mobilenetv2_035", "--plot", "a.png"), "--plot draws accuracy, which needs --data"),
        (("mobilenetv3",), "unknown model 'mobilenetv3'"),
        (("mobilenetv2_035", "--shares-from", "mobilenetv2"), "an architecture has no policy"),
        (
            ("msdnet_cifar10", "--shares-from", "rex_mobilenetv2_075.imagenette"),
            "says nothing of the 10 exits",
        ),
        (
            ("mobilenetv2_035", "--engines", "torch", "--dtype", "int8", "--image-size", "32"),
            "int8 is not measured",
        ),
    ],
)
def test_what_cannot_be_measured(
    arguments: tuple[str, ...], message: str, exeunt: Callable[..., Any]
) -> None:
    run = exeunt("bench", *arguments)
    assert run.status == 2
    assert message in run.err


def test_trained_at_another_size(exeunt: Callable[..., Any], weights: Path, images: Path) -> None:
    run = exeunt("bench", weights, "--image-size", 48, "--data", images)
    assert run.status == 2
    assert "is for images of 32x32; with --data leave out --image-size" in run.err
    run = exeunt("bench", weights, "--image-size", 48, "--engines", "torch", *QUICK, "--json")
    assert lines(run.out)[1]["image_size"] == [48, 48]
