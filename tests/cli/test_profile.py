"""`exeunt profile`, from end to end on networks that are small or cut short."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from exeunt.cli.options import Convention, Dtype
from exeunt.compiled import CompileError
from exeunt.evaluate import ExitTable, save_table, weights_fingerprint
from exeunt.models import MODELS, create_model, load_weights, register_model
from exeunt.models.mobilenetv1 import mobilenetv1
from exeunt.net import MultiExitNet
from exeunt.profile import CONVENTIONS, ELEMENT_BYTES

QUICK = ("--convention", "paper", "--dtype", "int8")


def table(net: MultiExitNet, exits: int = 6) -> ExitTable:
    """Half of eight samples are sure at the first exit, the others at the last."""
    logits = torch.zeros(exits, 8, 3)
    logits[0, :4, 0] = logits[-1, 4:, 0] = 9.0
    macs = tuple(range(1, exits + 1))
    names = tuple("abcdefgh")
    targets = torch.zeros(8, dtype=torch.int64)
    return ExitTable(
        logits, targets, "classification", macs, names, "test", weights_fingerprint(net), "x"
    )


@pytest.fixture(scope="module")
def recording(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recorded") / "test.exits"
    save_table(path, table(load_weights(weights)[0]))
    return path


def test_options_name_what_there_is() -> None:
    assert [one.value for one in Convention] == list(CONVENTIONS)
    assert [one.value for one in Dtype] == list(ELEMENT_BYTES)


def test_everything_of_weights(exeunt: Callable[..., Any], weights: Path, tmp_path: Path) -> None:
    picture, rows = tmp_path / "new" / "mem.png", tmp_path / "costs.csv"
    run = exeunt("profile", weights, "--plot", picture, "--csv", rows)
    assert (run.status, run.err) == (0, "")
    lines = run.out.splitlines()
    assert lines[1].split(None, 1) == ["image", "32 x 32 pixels"]
    assert "if ReX went patch by patch" in lines[4]
    assert "without the exits before the last" in lines[5]
    for convention in CONVENTIONS:
        assert sum(line.startswith(convention) for line in lines) >= 3
    above = next(k for k, line in enumerate(lines) if line.startswith("convention "))
    assert lines[above - 1].endswith("; * a microcontroller needs")
    assert lines[above + 1].split()[:3] == ["streamed", "*", "int8"]
    assert sum(" * " in line for line in lines[above:]) == 1
    costs = [line for line in lines if "stages." in line and line.endswith(" %")]
    assert len(costs) == 10
    assert costs[0].startswith("stages.0.trunk.rex")
    assert picture.stat().st_size > 10_000
    with rows.open(encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    assert [row["exit"] for row in written] == list("123456")
    net, _ = load_weights(weights)
    assert [int(row["macs"]) for row in written] == [info.macs for info in net.exit_info(32)]
    assert int(written[5]["parameters"]) == sum(p.numel() for p in net.parameters())
    assert int(written[0]["streamed_int8_bytes"]) <= int(written[5]["streamed_int8_bytes"])


def test_json_is_one_line_for_each_network(exeunt: Callable[..., Any], weights: Path) -> None:
    run = exeunt("profile", weights, "--json", *QUICK, "--compare", "mobilenetv2_035")
    one, other = map(json.loads, run.out.splitlines())
    assert one["model"] == str(weights)
    assert other["model"] == "mobilenetv2_035"
    assert one["image_size"] == other["image_size"] == [32, 32]
    assert one["exits"][5]["macs"] == one["macs"]["total"]
    assert list(one["memory"]) == ["paper"]
    assert list(one["memory"]["paper"]) == ["int8"]
    assert one["memory"]["paper"]["int8"]["total_bytes"] > 0
    assert "mean" not in one


@pytest.mark.parametrize(
    ("network", "size", "macs"),
    [("mobilenetv1_025", "96", "7,489,664"), ("resnet8", "32", "12,501,632")],
)
def test_published_counts_to_the_last_one(
    network: str, size: str, macs: str, exeunt: Callable[..., Any]
) -> None:
    run = exeunt("profile", network, "--image-size", size, "--convention", "paper")
    alone = create_model(network, exits="last").exit_info(int(size))[-1].macs
    assert f"{alone:,}" == macs
    assert f"{macs} without the exits before the last" in run.out


def test_two_networks_side_by_side(exeunt: Callable[..., Any], weights: Path) -> None:
    run = exeunt("profile", weights, *QUICK, "--compare", "mobilenetv2_035")
    title, *rows = run.out.splitlines()[-4:]
    assert title.split() == [str(weights), "mobilenetv2_035", "ratio"]
    assert [row.split()[0] for row in rows] == ["parameters", "MACs", "paper"]


def test_latency_and_means_over_a_recording(
    exeunt: Callable[..., Any], weights: Path, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **settings: object) -> None:
        raise CompileError("torch.compile failed: no compiler")

    monkeypatch.setattr("exeunt.profile.latency.compile_stages", broken)
    options = ("--latency", "--runs", 3, "--exits", recording, "--policy", "confidence:0.9")
    run = exeunt("profile", weights, *QUICK, *options, "--json")
    assert run.err == "exeunt: warning: torch.compile failed: no compiler\n"
    found = json.loads(run.out)
    assert list(found["latency"]) == ["eager"]
    assert found["latency"]["eager"]["threads"] == 1
    mean = found["mean"]
    assert mean["exit_shares"] == [0.5, 0, 0, 0, 0, 0.5]
    assert mean["macs"] == (found["exits"][0]["macs"] + found["exits"][5]["macs"]) / 2
    times = found["latency"]["eager"]["median_ms"]
    assert mean["latency_ms"]["eager"] == pytest.approx((times[0] + times[5]) / 2)
    shown = exeunt("profile", weights, *QUICK, *options, "--no-compile")
    assert shown.err == ""
    assert "over 8 images that leave by confidence:0.9" in shown.out
    assert "median of 3 runs" in shown.out


def test_the_policy_of_the_weights(
    exeunt: Callable[..., Any], weights: Path, recording: Path
) -> None:
    found = json.loads(exeunt("profile", weights, *QUICK, "--exits", recording, "--json").out)
    assert found["mean"]["policy"] == "consistency:1"


def test_what_has_no_formula_is_said(
    exeunt: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from exeunt.backbone import attach_exits

    class Far(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cdist(x, x)

    @register_model(name="with_distances", image_size=8)
    def with_distances(num_classes: int = 2, in_chans: int = 3) -> MultiExitNet:
        backbone = nn.Sequential(nn.Conv2d(in_chans, 4, 1), Far())
        return attach_exits(backbone, [-1], num_classes, image_shape=(in_chans, 8, 8))

    try:
        run = exeunt("profile", "with_distances", *QUICK, "--json")
    finally:
        MODELS.remove("with_distances")
    assert "no formula for stages.0.trunk.1 (aten.cdist.default); it counts as 0" in run.err
    assert json.loads(run.out)["macs"]["uncounted"] == ["stages.0.trunk.1 (aten.cdist.default)"]


def test_the_dial_between_bytes_and_multiply_adds(
    exeunt: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLPerf Tiny's net without internal exits."""
    monkeypatch.setattr("exeunt.graph.recompute.DIAL_EFFORT", 200_000)
    narrow = partial(mobilenetv1, num_classes=2, width=0.25, exits="last")
    register_model(narrow, name="narrow", image_size=96)
    plot = tmp_path / "dial.svg"
    options = ("--dial", "--dtype", "int8", "--image-size", 48, "--plot", plot)
    try:
        run = exeunt("profile", "narrow", *options, "--json")
        table = exeunt("profile", "narrow", *options).out.splitlines()
    finally:
        MODELS.remove("narrow")
    assert run.status == 0, run.err
    found = [json.loads(line) for line in run.out.splitlines()]
    assert len(found) > 1
    assert (found[0]["kind"], found[0]["macs"], found[0]["factor"]) == ("dial", 2_050_880, 1)
    assert found[0]["arena_bytes"] >= found[0]["least_bytes"] == 4_896
    assert found[0]["recomputed"] == []
    for before, after in itertools.pairwise(found):
        assert before["arena_bytes"] > after["arena_bytes"]
        assert before["macs"] < after["macs"]
    assert f"{found[0]['arena_bytes']:,} B" in plot.read_text()
    said = "narrow, int8: what fewer bytes cost, in rows and maps that are made again"
    assert table[0] == said
    assert table[2].split()[2:] == ["2.05", "M", "1.000x", "0", "0", "0"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--dial", "--convention", "streamed"], "leave --convention out"),
        (["--image-size", "0"], "give at least 1 pixel"),
        (["--image-size", "big"], "--image-size 'big'"),
        (["--convention", "guess"], "guess"),
        (["--dtype", "int4"], "int4"),
        (["--plot", "mem.pdf"], "figures are .png or .svg"),
        (["--compare", "resnet35"], "did you mean"),
        (["--threads", "2"], "--threads is for --latency"),
        (["--no-compile"], "--compile is for --latency"),
        (["--policy", "full"], "--policy is for --exits"),
        (["--exits", "gone.exits"], "gone.exits: no such file"),
        (["--latency", "--device", "abacus"], "device 'abacus' cannot be used"),
    ],
)
def test_input_that_cannot_be_used(
    arguments: list[str], text: str, exeunt: Callable[..., Any]
) -> None:
    run = exeunt("profile", "mobilenetv2_035", *arguments)
    assert run.status == 2
    assert text in run.err
    assert run.out == ""


def test_images_that_are_too_small(exeunt: Callable[..., Any]) -> None:
    run = exeunt("profile", "densenet121", "--image-size", "8", *QUICK)
    assert run.status == 2
    assert "cannot take images of 8 x 8 pixels" in run.err


def test_recordings_that_do_not_fit(
    exeunt: Callable[..., Any], weights: Path, recording: Path, tmp_path: Path
) -> None:
    net, _ = load_weights(weights)
    other = tmp_path / "other.exits"
    save_table(other, table(torch.nn.Linear(2, 2)))  # type: ignore[arg-type]
    run = exeunt("profile", weights, "--exits", other)
    assert run.status == 2
    assert "is a recording of other weights" in run.err
    save_table(other, table(net, exits=3))
    run = exeunt("profile", weights, "--exits", other)
    assert f"has 3 exits, {weights} has 6" in run.err
    run = exeunt("profile", "rex_mobilenetv2_035", "--exits", recording)
    assert (run.status, "so no policy either; give --policy" in run.err) == (2, True)


def test_what_comes_after_an_exit_is_left_out(exeunt: Callable[..., Any], weights: Path) -> None:
    whole = json.loads(exeunt("profile", weights, *QUICK, "--json").out)
    cut = json.loads(exeunt("profile", weights, *QUICK, "--json", "--keep", 2).out)
    assert cut["exits"] == whole["exits"][:2]
    run = exeunt("profile", weights, "--keep", 9)
    assert run.status == 2
    assert "keep=9; the network has exits 1 to 6" in run.err
