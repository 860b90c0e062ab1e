from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from exeunt.calibrate import choose_policy, guaranteed_policy, optimised_policy
from exeunt.calibrate.temperature import fit_temperatures
from exeunt.compiled import use_channels_last
from exeunt.data import SplitSpec, Transform, content_hash, make_splits, open_source
from exeunt.evaluate import ExitTable, record_samples, replay, wilson
from exeunt.models import WeightsInfo, load_weights, read_info, save_weights, shipped_weights
from exeunt.ops.rex_block import NETWORK_FORM
from exeunt.policies import Confidence, Consistency, Margin, parse_policy

Exeunt = Callable[..., Any]


def calibration_table(weights: Path, data: Path, spec: SplitSpec) -> ExitTable:
    net, info = load_weights(weights)
    source = open_source(data)
    use_channels_last(net)
    return record_samples(
        net,
        make_splits(source, spec).calibration,
        Transform.from_dict(info.transform),
        exit_macs=[row.macs for row in net.exit_info(32)],
        task=source.task,
        split="calibration",
    )


@pytest.fixture
def table(weights: Path, images: Path, spec: SplitSpec) -> ExitTable:
    return calibration_table(weights, images, spec)


@pytest.fixture
def own(weights: Path, tmp_path: Path) -> Path:
    """A copy of the weights that may be written."""
    return Path(shutil.copy(weights, tmp_path / "own.safetensors"))


def calibrated(exeunt: Exeunt, *arguments: object) -> dict[str, Any]:
    run = exeunt("calibrate", *arguments, "--json")
    assert run.status == 0, run.err
    found: dict[str, Any] = json.loads(run.out)
    return found


def test_a_budget_is_stored_and_used(
    exeunt: Exeunt, own: Path, images: Path, table: ExitTable, info: WeightsInfo
) -> None:
    before = load_file(own)
    said = calibrated(exeunt, own, images, "--budget-fraction", 0.7)
    stored = read_info(own)
    policy = optimised_policy(table, 0.7 * table.exit_macs[-1])
    assert stored.policy == said["policy"] == policy.spec
    assert stored.policy_history == ["consistency:1"]
    outcome = replay(table, policy)
    assert said["macs"] == outcome.mean_macs <= 0.7 * table.exit_macs[-1]
    assert said["accuracy"] == outcome.accuracy
    right = round(outcome.accuracy * len(table))
    assert said["accuracy_interval"] == pytest.approx(wilson(right, len(table)))
    assert said["exit_shares"] == list(outcome.exit_shares)
    low, high = said["macs_interval"]
    assert low <= said["macs"] <= high
    assert said["samples"] == stored.metrics["calibration"]["samples"] == len(table)
    assert stored.metrics["calibration"]["policy"]["spec"] == policy.spec
    # the exits have not changed, but the old policy's figures are not those of the new one
    test = {key: value for key, value in info.metrics["test"].items() if key != "policy"}
    assert stored.metrics["test"] == test
    kept = {"policy": info.policy, "policy_history": [], "metrics": info.metrics}
    assert stored.arguments == info.arguments | {"rex_form": NETWORK_FORM}
    assert replace(stored, **kept, arguments=info.arguments) == info
    after = load_file(own)
    assert before.keys() == after.keys()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert [path.name for path in own.parent.iterdir()] == [own.name]

    answer = json.loads(exeunt("predict", own, images / "dots" / "00.png", "--json").out)
    assert answer["policy"] == policy.spec
    rows = exeunt("eval", own, images, "--policy", "full", "--json").out.splitlines()
    assert [json.loads(row)["setting"] for row in rows[-2:]] == ["full", policy.spec]
    assert exeunt("info", own).status == 0


def test_calibrating_again_goes_on_with_the_history(
    exeunt: Exeunt, own: Path, images: Path
) -> None:
    for spec in ("confidence:0.6", "confidence:0.6", "full"):
        assert calibrated(exeunt, own, images, "--policy", spec)["policy"] == spec
    stored = read_info(own)
    assert stored.policy == "full"
    assert stored.policy_history == ["consistency:1", "confidence:0.6"]


def test_the_stored_policy_keeps_its_test_figures(
    exeunt: Exeunt, own: Path, images: Path, info: WeightsInfo
) -> None:
    calibrated(exeunt, own, images, "--policy", "consistency:1")
    assert read_info(own).metrics["test"] == info.metrics["test"]
    assert read_info(own).policy_history == []


def test_macs_and_a_run_folder(
    exeunt: Exeunt, weights: Path, images: Path, table: ExitTable, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(weights, folder / "best.safetensors")
    budget = 0.8 * table.exit_macs[-1]
    said = calibrated(exeunt, folder, images, "--budget-macs", budget, "--criterion", "margin")
    assert said["out"] == str(folder / "best.safetensors")
    policy = optimised_policy(table, budget, criterion=Margin)
    assert read_info(folder / "best.safetensors").policy == policy.spec


def test_patience_and_temperatures(
    exeunt: Exeunt, weights: Path, images: Path, table: ExitTable, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "w.safetensors"
    options = ("--budget-fraction", 0.9, "--temperature", "--criterion", "patient", "--out", out)
    calibrated(exeunt, weights, images, *options)
    policy = optimised_policy(
        table, 0.9 * table.exit_macs[-1], temperature=fit_temperatures(table), patient=True
    )
    assert parse_policy(read_info(out).policy) == policy
    assert read_info(weights).policy == "consistency:1"


def test_a_guarantee(exeunt: Exeunt, own: Path, images: Path, table: ExitTable) -> None:
    options = ("--max-accuracy-drop", 0.4, "--confidence", 0.9)
    said = calibrated(exeunt, own, images, *options)
    found = guaranteed_policy(table, 0.4, 0.9)
    assert said["policy"] == found.policy.spec
    assert said["guarantee"] == {"max_loss": 0.4, "probability": 0.9, "lost": found.losses}
    text = exeunt("calibrate", own, images, *options).out
    assert "with probability 90.0 %" in text
    run = exeunt("calibrate", own, images, "--max-accuracy-drop", 0.01)
    assert run.status == 2
    assert "that takes 299" in run.err
    least = float(re.search(r"Give (\S+) or more", run.err)[1])  # type: ignore[index]
    assert exeunt("calibrate", own, images, "--max-accuracy-drop", least).status == 0
    run = exeunt("calibrate", own, images, "--max-accuracy-drop", least - 0.01)
    assert run.status == 2


def test_the_least_budget_that_is_named_can_be_kept(
    exeunt: Exeunt, own: Path, images: Path, table: ExitTable
) -> None:
    first = table.exit_macs[0]
    for option, asked in (("--budget-fraction", 0.1), ("--budget-macs", first - 1)):
        run = exeunt("calibrate", own, images, option, asked)
        assert run.status == 2
        least = re.search(r"Give (\S+) or more", run.err)[1]  # type: ignore[index]
        assert calibrated(exeunt, own, images, option, least)["macs"] >= first


@pytest.mark.parametrize("name", ["consistency", "confidence", "margin", "patient"])
def test_the_name_of_a_criterion(
    name: str, exeunt: Exeunt, own: Path, images: Path, table: ExitTable
) -> None:
    said = calibrated(exeunt, own, images, "--policy", name)
    kind = {"consistency": Consistency, "margin": Margin}.get(name, Confidence)
    policy = choose_policy(table, criterion=kind, patient=name == "patient").policy
    assert said["policy"] == policy.spec


def test_text_says_what_to_expect(
    exeunt: Exeunt, own: Path, images: Path, table: ExitTable
) -> None:
    run = exeunt("calibrate", own, images, "--policy", "confidence:0.6")
    outcome = replay(table, Confidence(0.6))
    assert run.err == ""
    assert f"{100 * outcome.accuracy:.1f} % (" in run.out
    assert f"{outcome.mean_macs / 1e6:.2f} M (" in run.out
    assert f"saving {100 * outcome.saving:.1f} %" in run.out
    assert f"exeunt eval {own} {images}" in run.out


def test_regression(
    exeunt: Exeunt, regression: Path, table_file: Path, spec: SplitSpec, tmp_path: Path
) -> None:
    out = tmp_path / "r.safetensors"
    table = calibration_table(regression, table_file, spec)
    said = calibrated(exeunt, regression, table_file, "--budget-fraction", 0.9, "--out", out)
    budget = 0.9 * table.exit_macs[-1]
    policy = optimised_policy(table, budget, criterion=Consistency)
    assert said["policy"] == read_info(out).policy == policy.spec
    assert said["mae"] == pytest.approx(replay(table, policy).mae)
    assert "accuracy" not in said
    options = ("--max-accuracy-drop", 0.5, "--tolerance", 0.5, "--out", out)
    assert calibrated(exeunt, regression, table_file, *options)["guarantee"]["max_loss"] == 0.5
    assert "mae" in exeunt("calibrate", regression, table_file, *options).out
    run = exeunt("calibrate", regression, table_file, "--max-accuracy-drop", 0.5, "--out", out)
    assert "tolerance, in units of the targets" in run.err


def test_weights_that_ship_are_not_written(exeunt: Exeunt, images: Path) -> None:
    name, path = next(iter(shipped_weights().items()))
    before = path.read_bytes()
    run = exeunt("calibrate", name, images, "--policy", "full")
    assert run.status == 2
    assert f"{name} ships with exeunt" in run.err
    assert f"--out {path.name}" in run.err
    run = exeunt("calibrate", path, images, "--policy", "full", "--out", path)
    assert run.status == 2
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "give one of --budget-macs"),
        (("--budget-macs", 1e6, "--policy", "full"), "got --budget-macs and --policy"),
        (("--budget-macs", 10), "--budget-macs 10 cannot be kept: an image that leaves"),
        (("--budget-fraction", 0.1), "--budget-fraction 0.1 cannot be kept"),
        (("--budget-fraction", 50), "--budget-fraction 50: give a share"),
        (("--budget-fraction", 0.5, "--confidence", 0.9), "--confidence goes with"),
        (("--budget-fraction", 0.5, "--tolerance", 1), "--tolerance goes with"),
        (("--max-accuracy-drop", 0.4, "--temperature"), "has to be fixed before"),
        (("--max-accuracy-drop", 0.4, "--tolerance", 1), "no meaning for classes"),
        (("--policy", "margin", "--criterion", "entropy"), "leave out --criterion"),
        (("--policy", "confidence:2"), "threshold must be in 0..1"),
        (("--policy", "patience"), "valid forms"),
        (("--policy", "margin:0.5", "--temperature"), "is stored as it is"),
        (("--policy", "consistency", "--temperature"), "changes nothing for consistency"),
        (("--policy", "consistency:1,eta=2"), "is for regression"),
        (("--budget-fraction", 0.9, "--split", "test"), "stays a test; leave --split out"),
        (("--budget-fraction", 0.9, "--split", "all"), "stays a test"),
    ],
)
def test_refusals_leave_the_weights_alone(
    options: tuple[object, ...], message: str, exeunt: Exeunt, own: Path, images: Path
) -> None:
    before = own.read_bytes()
    run = exeunt("calibrate", own, images, *options)
    assert run.status == 2
    assert message in run.err
    assert own.read_bytes() == before


def test_a_folder_is_no_file_to_write(
    exeunt: Exeunt, own: Path, images: Path, tmp_path: Path
) -> None:
    run = exeunt("calibrate", own, images, "--policy", "full", "--out", tmp_path)
    assert run.status == 2
    assert "is a folder; give a file" in run.err


def test_images_that_are_tested_on_are_refused(
    exeunt: Exeunt, own: Path, images: Path, tmp_path: Path
) -> None:
    for part in ("train", "test"):
        for name in ("dots", "noise", "waves"):
            shutil.copytree(images / name, tmp_path / "data" / part / name)
    run = exeunt("calibrate", own, tmp_path / "data", "--policy", "full")
    assert run.status == 2
    assert "are in the test split too" in run.err


def test_images_of_the_training_cut_otherwise_are_refused(
    exeunt: Exeunt, weights: Path, info: WeightsInfo, images: Path, spec: SplitSpec, tmp_path: Path
) -> None:
    net, _ = load_weights(weights)
    own, data = tmp_path / "w.safetensors", tmp_path / "data"
    held_out = make_splits(open_source(images), spec).calibration
    hashes = sorted({content_hash(sample.place) for sample in held_out})
    save_weights(own, net.state_dict(), replace(info, calibration_hashes=hashes))
    for file in images.glob("*/*.png"):  # other names are ranked in another order
        copy = data / file.parent.name / f"copy_of_{file.name}"
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    run = exeunt("calibrate", own, data, "--policy", "full")
    assert run.status == 2
    assert "come from their train or test split" in run.err


def test_other_images_are_pointed_out(
    exeunt: Exeunt, own: Path, images: Path, tmp_path: Path
) -> None:
    shutil.copytree(images, tmp_path / "data", ignore=shutil.ignore_patterns("00.png", "*.csv"))
    run = exeunt("calibrate", own, tmp_path / "data", "--policy", "full")
    assert run.status == 0
    assert "not the images of the training" in run.err
