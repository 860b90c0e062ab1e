from __future__ import annotations

import csv
import json
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from exeunt.data import (
    Sensor,
    SplitSpec,
    Transform,
    fingerprint,
    make_splits,
    open_source,
    take,
)
from exeunt.evaluate import ExitTable, default_policies, exit_rows, replay, wilson
from exeunt.models import load_weights, save_weights
from exeunt.policies import parse_policy

Exeunt = Callable[..., Any]


def table_of(weights: Path, samples: Any, task: Any = "classification") -> ExitTable:
    """The table, by running the net on each image by itself."""
    net, info = load_weights(weights)
    transform = Transform.from_dict(info.transform)
    with torch.no_grad():
        rows = [torch.stack(net(transform(s.place.load())[None])) for s in samples]
    return ExitTable(
        logits=torch.cat(rows, dim=1),
        targets=torch.tensor([s.target for s in samples]),
        task=task,
        exit_macs=tuple(row.macs for row in net.exit_info(32)),
        names=tuple(s.name for s in samples),
        split="test",
        weights_fingerprint="",
        data_fingerprint="",
    )


def test_images_are_shown_to_a_sensor(exeunt: Exeunt, weights: Path, images: Path) -> None:
    """Every exit is as right as on images that the camera has seen, and the run says so."""
    source, sensor = open_source(images), Sensor("bayer-rggb", (96, 128))
    net, info = load_weights(weights)
    transform = replace(Transform.from_dict(info.transform), sensor=sensor)
    samples = source.samples
    with torch.no_grad():
        logits = net(torch.stack([transform(sample.place.load()) for sample in samples]))
    targets = torch.tensor([sample.target for sample in samples])
    wanted = [float((exit.argmax(1) == targets).double().mean()) for exit in logits]
    options = ("--split", "all", "--sensor", "bayer-rggb:128x96", "--protocol", "anytime")
    out = exeunt("eval", weights, images, *options, "--json").out
    assert lines(out, "run")[0]["transform"]["sensor"] == "bayer-rggb:128x96:box"
    assert [row["accuracy"] for row in lines(out, "exit")] == pytest.approx(wanted)
    done = exeunt("eval", weights, images, "--sensor", "rgb565:16x16")
    assert done.status == 2
    assert "the sensor rgb565:16x16:box gives no image of 32x32 pixels" in done.err


def lines(text: str, kind: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, text.splitlines()) if line["kind"] == kind]


def test_numbers_are_those_of_the_table(
    exeunt: Exeunt, weights: Path, images: Path, spec: SplitSpec
) -> None:
    source = open_source(images)
    table = table_of(weights, make_splits(source, spec).test)
    out = exeunt("eval", weights, images, "--json", "--batch-size", 5).out
    (run,) = lines(out, "run")
    assert run["samples"] == len(table) == 18
    assert run["data_fingerprint"] == fingerprint(source.pools["all"])
    assert run["data_fingerprint"] == run["trained_on_fingerprint"]
    assert run["transform"]["image_size"] == [32, 32]
    exits = lines(out, "exit")
    for got, row in zip(exits, exit_rows(table), strict=True):
        assert got["exit"] == row.index + 1
        assert got["macs"] == row.macs
        assert got["share_of_full"] == row.macs / table.exit_macs[-1]
        assert got["accuracy"] == row.accuracy
        assert got["oracle"] == row.oracle
        assert got["mean_confidence"] == pytest.approx(row.mean_confidence, abs=1e-4)
        assert "mae" not in got
    assert len({row["accuracy"] for row in exits}) > 1, "the exits must differ for this test"
    policies = lines(out, "policy")
    assert [p["setting"] for p in policies] == [p.spec for p in default_policies(table)]
    assert [p["setting"] for p in policies if p["stored"]] == ["consistency:1"]
    for got in policies:
        outcome = replay(table, parse_policy(got["setting"]))
        assert got["accuracy"] == outcome.accuracy
        assert got["macs"] == outcome.mean_macs
        assert got["saving"] == outcome.saving
        assert got["exit_shares"] == list(outcome.exit_shares)
    assert len({p["saving"] for p in policies}) > 3, "the policies must differ for this test"


@pytest.mark.parametrize(("split", "size"), [("train", 33), ("calibration", 9), ("all", 60)])
def test_other_splits(
    split: str, size: int, exeunt: Exeunt, weights: Path, images: Path, spec: SplitSpec
) -> None:
    source = open_source(images)
    chosen = source.pools["all"] if split == "all" else make_splits(source, spec)[split]
    assert len(chosen) == size
    out = exeunt("eval", weights, images, "--json", "--split", split).out
    expected = [row.accuracy for row in exit_rows(table_of(weights, chosen))]
    assert [row["accuracy"] for row in lines(out, "exit")] == expected
    assert lines(out, "run")[0]["split"] == split


def test_limit_is_seeded_and_stratified(
    exeunt: Exeunt, weights: Path, images: Path, spec: SplitSpec
) -> None:
    chosen = take(make_splits(open_source(images), spec).test, 7, spec.seed)
    out = exeunt("eval", weights, images, "--json", "--limit", 7).out
    assert lines(out, "run")[0]["samples"] == 7
    expected = [row.accuracy for row in exit_rows(table_of(weights, chosen))]
    assert [row["accuracy"] for row in lines(out, "exit")] == expected


def test_a_limit_of_the_training_does_not_shrink_the_test(
    exeunt: Exeunt, weights: Path, images: Path, spec: SplitSpec, tmp_path: Path
) -> None:
    net, info = load_weights(weights)
    limited = tmp_path / "limited.safetensors"
    save_weights(limited, net.state_dict(), replace(info, split={**info.split, "limit": 9}))
    out = exeunt("eval", limited, images, "--json").out
    assert lines(out, "run")[0]["samples"] == len(make_splits(open_source(images), spec).test)
    out = exeunt("eval", limited, images, "--json", "--split", "calibration").out
    held_out = make_splits(open_source(images), replace(spec, limit=9)).calibration
    assert lines(out, "run")[0]["samples"] == len(held_out)


def test_policies_asked_for_and_the_stored_one(exeunt: Exeunt, weights: Path, images: Path) -> None:
    args = ("--policy", "confidence:0.6", "--policy", "consistency:2")
    out = exeunt("eval", weights, images, "--json", *args).out
    policies = [row["setting"] for row in lines(out, "policy")]
    assert policies == ["confidence:0.6", "consistency:2", "consistency:1"]


def test_text_is_plain_and_says_what_was_done(
    exeunt: Exeunt, weights: Path, images: Path, spec: SplitSpec
) -> None:
    table = table_of(weights, make_splits(open_source(images), spec).test)
    run = exeunt("eval", weights, images, "--policy", "full")
    assert run.status == 0
    assert run.err == "", "no progress bar without a terminal"
    assert "\x1b" not in run.out
    assert "test: 18 images" in run.out
    assert "that of the weights" in run.out
    assert "32 x 32 pixels" in run.out
    assert "interpolation=bilinear" in run.out
    stored = replay(table, parse_policy("consistency:1"))
    row = run.out.splitlines()[-1]
    assert row.startswith("consistency:1 *")
    assert stored.accuracy is not None
    low, high = (f"{100 * end:.1f}" for end in wilson(round(18 * stored.accuracy), 18))
    expected = [f"{100 * stored.accuracy:.1f}", f"{low}-{high}", f"{stored.mean_macs / 1e6:.2f}"]
    expected += [f"{100 * share:.1f}" for share in (stored.saving,)]
    expected += [f"{100 * share:.0f}" for share in stored.exit_shares]
    assert row.replace(" %", "").replace(" M", "").split()[2:] == expected


def test_csv_holds_both_kinds_of_rows(
    exeunt: Exeunt, weights: Path, images: Path, tmp_path: Path
) -> None:
    path = tmp_path / "new" / "folder" / "rows.csv"
    out = exeunt("eval", weights, images, "--json", "--csv", path).out
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    exits, policies = lines(out, "exit"), lines(out, "policy")
    assert [row["kind"] for row in rows] == ["exit"] * 6 + ["policy"] * len(policies)
    assert list(rows[0])[:6] == ["kind", "setting", "exit", "stored", "accuracy", "accuracy_low"]
    for row, exit_row in zip(rows[:6], exits, strict=True):
        assert int(row["exit"]) == exit_row["exit"]
        assert float(row["oracle"]) == exit_row["oracle"]
        assert row["setting"] == row["saving"] == ""
    for row, policy in zip(rows[6:], policies, strict=True):
        assert row["setting"] == policy["setting"]
        assert float(row["macs"]) == policy["macs"]
        assert [float(row[f"share_{k}"]) for k in range(1, 7)] == policy["exit_shares"]
        assert row["exit"] == row["oracle"] == ""
    assert [file.name for file in path.parent.iterdir()] == ["rows.csv"]


def test_regression(exeunt: Exeunt, regression: Path, table_file: Path, spec: SplitSpec) -> None:
    chosen = make_splits(open_source(table_file), spec).test
    table = table_of(regression, chosen, "regression")
    out = exeunt("eval", regression, table_file, "--json").out
    for got, row in zip(lines(out, "exit"), exit_rows(table), strict=True):
        assert got["mae"] == pytest.approx(row.mae, rel=1e-4)
        assert got["rmse"] == pytest.approx(row.rmse, rel=1e-4)
        assert "accuracy" not in got
    assert lines(out, "policy")[-1]["setting"] == "consistency:1,eta=0.5"
    assert "mae" in exeunt("eval", regression, table_file).out


def test_other_classes_are_refused(
    exeunt: Exeunt, weights: Path, images: Path, tmp_path: Path
) -> None:
    shutil.copytree(images, tmp_path / "data")
    (tmp_path / "data" / "noise").rename(tmp_path / "data" / "static")
    run = exeunt("eval", weights, tmp_path / "data")
    assert run.status == 2
    assert "the weights do not know: 'static'; they know 'dots', 'noise', 'waves'" in run.err


def test_classes_are_those_of_the_weights_by_name_and_need_not_all_be_there(
    exeunt: Exeunt, weights: Path, images: Path, tmp_path: Path
) -> None:
    """The weights count dots, noise, waves; `classes.txt` counts otherwise."""
    data = tmp_path / "shards"
    data.mkdir()
    (data / "classes.txt").write_text("waves\nsnow\nnoise\ndots\n")
    numbers = {"waves": 0, "noise": 2, "dots": 3}
    with tarfile.open(data / "0.tar", "w") as tar:
        for file in sorted(images.glob("*/*.png")):
            label = tmp_path / "label"
            label.write_text(str(numbers[file.parent.name]))
            tar.add(file, f"{file.parent.name}{file.name}")
            tar.add(label, f"{file.parent.name}{file.stem}.cls")
    whole = lines(exeunt("eval", weights, images, "--split", "all", "--json").out, "exit")
    again = lines(exeunt("eval", weights, data, "--split", "all", "--json").out, "exit")
    assert [row["accuracy"] for row in again] == [row["accuracy"] for row in whole]
    some = tmp_path / "some"
    shutil.copytree(images / "waves", some / "waves")
    run = exeunt("eval", weights, some, "--split", "all", "--diagnose", "--json")
    assert run.status == 0
    assert run.err == "exeunt: note: all: no images of dots, noise\n"
    waves = [sample for sample in open_source(images).samples if sample.target == 2]
    rows = exit_rows(table_of(weights, waves))
    assert [row["accuracy"] for row in lines(run.out, "exit")] == [row.accuracy for row in rows]


def test_what_is_left_out_and_what_is_there_twice_is_said(
    exeunt: Exeunt, weights: Path, images: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(images, data)
    (data / "dots" / "a.heic").touch()
    (data / "waves" / "wrong.png").symlink_to(data / "dots" / "03.png")
    run = exeunt("eval", weights, data, "--split", "all", "--json")
    assert run.status == 0
    assert run.err.splitlines() == [
        "exeunt: note: left out: 1 .heic (dots/a.heic)",
        "exeunt: note: identical images: 1 under two labels (dots/03.png is waves/wrong.png)",
    ]


def test_another_task_is_refused(
    exeunt: Exeunt, weights: Path, regression: Path, images: Path, table_file: Path
) -> None:
    run = exeunt("eval", weights, table_file)
    assert run.status == 2
    assert "is for regression, but the weights were made for classification" in run.err
    assert exeunt("eval", regression, images).status == 2


def test_other_data_are_pointed_out(
    exeunt: Exeunt, weights: Path, images: Path, tmp_path: Path
) -> None:
    shutil.copytree(images, tmp_path / "data")
    (tmp_path / "data" / "noise" / "00.png").unlink()
    assert "made from other data" in exeunt("eval", weights, tmp_path / "data").out


def test_one_unreadable_image_in_a_hundred_is_a_warning(
    exeunt: Exeunt, weights: Path, images: Path, tmp_path: Path
) -> None:
    for name in ("dots", "noise", "waves"):
        (tmp_path / name).mkdir()
        for i in range(40):
            shutil.copy(images / name / f"{i % 20:02}.png", tmp_path / name / f"{i}.png")
    (tmp_path / "noise" / "7.png").write_bytes(b"not an image")
    run = exeunt("eval", weights, tmp_path, "--split", "all", "--json")
    assert run.status == 0
    assert run.err == "exeunt: warning: noise/7.png: a text file, left out\n"
    assert lines(run.out, "run")[0]["samples"] == 119
    (tmp_path / "noise" / "8.png").write_bytes(b"")
    run = exeunt("eval", weights, tmp_path, "--split", "all", "--json")
    assert run.status == 2
    assert "2 of 120 images are unreadable" in run.err
    assert "noise/7.png (a text file), noise/8.png (an empty file)" in run.err
    assert "--allow-unreadable 0.017" in run.err
    assert run.out == ""
    run = exeunt("eval", weights, tmp_path, "--split", "all", "--allow-unreadable", 0.017)
    assert run.status == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--policy", "consistency:0"), "k must be a whole number >= 1"),
        (("--policy", "consistency:1,eta=2"), "is for regression"),
        (("--device", "abacus"), "'abacus' cannot be used"),
        (("--limit", "0"), "--limit"),
        (("--split", "val"), "--split"),
    ],
)
def test_bad_options(
    arguments: tuple[str, ...], text: str, exeunt: Exeunt, weights: Path, images: Path
) -> None:
    run = exeunt("eval", weights, images, *arguments)
    assert run.status == 2
    assert text in run.err


def test_an_architecture_has_no_weights(exeunt: Exeunt, images: Path) -> None:
    run = exeunt("eval", "rex_mobilenetv2_035", images)
    assert run.status == 2
    assert "is an architecture, without weights" in run.err


def test_threads(
    exeunt: Exeunt, weights: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    exeunt("eval", weights, images, "--limit", 3, "--threads", 2)
    assert asked == [2]


def test_people_see_few_policies_and_programs_all(
    exeunt: Exeunt, weights: Path, images: Path, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.csv"
    few = exeunt("eval", weights, images, "--csv", rows).out.split("policies, and")[1].splitlines()
    every = exeunt("eval", weights, images, "--all").out.split("policies, and")[1].splitlines()
    missing = len(every) - len(few)
    assert missing > 10
    assert few[0].endswith(f"; {missing} more with --all")
    assert "--all" not in every[0]
    assert few[2].split()[0] == "full"
    assert any(" * " in line for line in few), "the stored one is always there"
    told = {line.split()[0] for line in few[2:]}
    assert told < {line.split()[0] for line in every[2:]}
    with rows.open(encoding="utf-8") as file:
        kinds = [row["kind"] for row in csv.DictReader(file)]
    assert kinds.count("policy") == len(every) - 2


def test_what_the_commonest_class_scores_is_said(
    exeunt: Exeunt, weights: Path, images: Path
) -> None:
    assert "; always 'dots' scores 33.3 %" in exeunt("eval", weights, images).out
    (run,) = lines(exeunt("eval", weights, images, "--json").out, "run")
    assert run["baseline"] == {"answer": 0, "accuracy": pytest.approx(1 / 3), "mae": None}
