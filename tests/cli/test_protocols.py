"""`exeunt eval`'s protocols, diagnosis and figures say what the library's functions give."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from exeunt.calibrate import RATIOS, budgeted_curves
from exeunt.evaluate import (
    ExitTable,
    agreement,
    bootstrap,
    confusion,
    difference_interval,
    easiest,
    hardest,
    load_table,
    oracle,
    overthinking,
    reliability,
    replay,
    wilson,
)
from exeunt.policies import parse_policy

Exeunt = Callable[..., Any]


def lines(text: str, kind: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, text.splitlines()) if line["kind"] == kind]


def kinds(text: str) -> set[str]:
    return {json.loads(line)["kind"] for line in text.splitlines()}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recorded")


@pytest.fixture
def record(exeunt: Exeunt, recorded: Path) -> Callable[[str, Path, Path], Path]:
    """Records a split of MODEL and DATA, once."""

    def make(split: str, model: Path, data: Path) -> Path:
        file = recorded / f"{model.stem}.{split}.exits"
        if not file.exists():
            run = exeunt("record", model, data, "--split", split, "--out", file)
            assert run.status == 0, run.err
        return file

    return make


@pytest.fixture
def tests(record: Any, weights: Path, images: Path) -> Path:
    return record("test", weights, images)


@pytest.fixture
def held_out(record: Any, weights: Path, images: Path) -> Path:
    return record("calibration", weights, images)


def test_accuracies_have_wilsons_intervals(exeunt: Exeunt, tests: Path) -> None:
    out = exeunt("eval", tests, "--json").out
    rows = [*lines(out, "exit"), *lines(out, "policy")]
    assert len(rows) > 20
    for row in rows:
        expected = wilson(round(18 * row["accuracy"]), 18)
        assert (row["accuracy_low"], row["accuracy_high"]) == expected


def test_errors_have_bootstrapped_intervals(
    exeunt: Exeunt, record: Any, regression: Path, table_file: Path
) -> None:
    file = record("test", regression, table_file)
    table = load_table(file)
    for row in lines(exeunt("eval", file, "--json").out, "exit"):
        values = table.logits[row["exit"] - 1].double() - table.targets[:, None].double()
        assert [(row["mae_low"], row["mae_high"])] == bootstrap(values.abs())
        assert row["mae_low"] < row["mae"] < row["mae_high"]


def test_anytime_is_every_exit_and_nothing_else(exeunt: Exeunt, tests: Path) -> None:
    out = exeunt("eval", tests, "--protocol", "anytime", "--json").out
    assert kinds(out) == {"run", "exit"}
    assert lines(out, "exit") == lines(exeunt("eval", tests, "--json").out, "exit")


def test_top5_where_there_are_more_classes(exeunt: Exeunt, tests: Path, tmp_path: Path) -> None:
    assert "accuracy_top5" not in lines(exeunt("eval", tests, "--json").out, "exit")[0]
    torch.manual_seed(0)
    from exeunt.evaluate import save_table

    table = ExitTable(
        logits=torch.randn(2, 30, 7),
        targets=torch.randint(7, (30,)),
        task="classification",
        exit_macs=(1, 2),
        names=tuple(map(str, range(30))),
        split="test",
        weights_fingerprint="w",
        data_fingerprint="d",
    )
    save_table(tmp_path / "seven.exits", table)
    run = exeunt("eval", tmp_path / "seven.exits", "--protocol", "anytime", "--json")
    for row, logits in zip(lines(run.out, "exit"), table.logits, strict=True):
        top = logits.topk(5, dim=1).indices == table.targets[:, None]
        assert row["accuracy_top5"] == top.any(dim=1).double().mean().item()
    arguments = ("--protocol", "anytime", "--plot", tmp_path)
    assert "top 5" in exeunt("eval", tmp_path / "seven.exits", *arguments).out
    assert "among the five likeliest" in (tmp_path / "costs.svg").read_text()


def test_budgeted_policies_are_solved_on_calibration_and_shown_on_test(
    exeunt: Exeunt, weights: Path, images: Path, tests: Path, held_out: Path
) -> None:
    test, calibration = load_table(tests), load_table(held_out)
    run = exeunt("eval", weights, images, "--protocol", "budgeted", "--json")
    assert run.status == 0, run.err
    assert kinds(run.out) == {"run", "exit", "policy", "budgeted"}
    assert lines(run.out, "run")[0]["calibration_samples"] == len(calibration) == 9
    rows = lines(run.out, "budgeted")
    curves = {curve.name: curve.points for curve in budgeted_curves(calibration, test)}
    assert [row["method"] for row in rows] == ["geometric"] * 39 + ["direct"] * 39
    assert {row["solved_for"] for row in rows[:39]} == set(RATIOS)
    for name, points in curves.items():
        mine = [row for row in rows if row["method"] == name]
        assert [row["setting"] for row in mine] == [p.found.policy.spec for p in points]
        for row in mine:
            policy = parse_policy(row["setting"])
            here, there = replay(test, policy), replay(calibration, policy)
            assert (row["accuracy"], row["macs"]) == (here.accuracy, here.mean_macs)
            assert row["expected_accuracy"] == there.accuracy
            assert row["expected_macs"] == there.mean_macs
            assert row["exit_shares"] == list(here.exit_shares)
    for geometric, direct in zip(rows[:39], rows[39:], strict=True):
        assert direct["solved_for"] == geometric["expected_macs"]
        assert direct["expected_macs"] <= direct["solved_for"] * (1 + 1e-9)
        assert direct["expected_accuracy"] >= geometric["expected_accuracy"]
        assert direct["gain"] == direct["accuracy"] - geometric["accuracy"]
        pair = [replay(test, parse_policy(row["setting"])) for row in (direct, geometric)]
        assert (direct["gain_low"], direct["gain_high"]) == difference_interval(test, *pair)
    assert len({row["macs"] for row in rows}) > 5, "the budgets must differ for this test"


def test_budgeted_from_files_is_the_same(
    exeunt: Exeunt, weights: Path, images: Path, tests: Path, held_out: Path
) -> None:
    arguments = ("--protocol", "budgeted", "--json")
    live = exeunt("eval", weights, images, *arguments).out
    recorded = exeunt("eval", tests, "--calibration", held_out, *arguments).out
    assert lines(recorded, "budgeted") == lines(live, "budgeted")
    text = exeunt("eval", tests, "--calibration", held_out, "--protocol", "budgeted").out
    assert "on 9 calibration images" in text
    assert "direct better by" in text


def test_budgeted_regression_has_counts_alone(
    exeunt: Exeunt, record: Any, regression: Path, table_file: Path
) -> None:
    files = [record(split, regression, table_file) for split in ("test", "calibration")]
    arguments = ("--protocol", "budgeted", "--calibration", files[1])
    run = exeunt("eval", files[0], *arguments, "--json")
    assert run.status == 0, run.err
    test = load_table(files[0])
    rows = lines(run.out, "budgeted")
    assert {row["method"] for row in rows} == {"consistency"}
    for row in rows:
        assert row["mae"] == replay(test, parse_policy(row["setting"])).mae
        assert row["expected_macs"] <= row["solved_for"]
    assert "consistency" in exeunt("eval", files[0], *arguments).out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--protocol", "budgeted"), "record that too and give the file as --calibration"),
        (("--protocol", "budgeted", "--calibration", "TESTS"), "never chosen on the test split"),
        (("--calibration", "HELD_OUT"), "--calibration is for --protocol budgeted"),
        (("--protocol", "anytime", "--policy", "full"), "--policy does not go with"),
        (("--protocol", "budgeted", "--calibration", "missing.exits"), "missing.exits"),
        (("--protocol", "all"), "--protocol"),
    ],
)
def test_what_makes_no_sense_is_refused(
    arguments: tuple[str, ...], message: str, exeunt: Exeunt, tests: Path, held_out: Path
) -> None:
    files = {"TESTS": tests, "HELD_OUT": held_out}
    run = exeunt("eval", tests, *(files.get(argument, argument) for argument in arguments))
    assert run.status == 2
    assert message in run.err
    assert run.out == ""


def test_budgeted_policies_are_shown_on_the_test_split_alone(
    exeunt: Exeunt, weights: Path, images: Path
) -> None:
    run = exeunt("eval", weights, images, "--protocol", "budgeted", "--split", "train")
    assert run.status == 2
    assert "shown on the test split, and this table is of train" in run.err


def test_diagnosis_says_what_the_library_counts(exeunt: Exeunt, tests: Path) -> None:
    table = load_table(tests)
    out = exeunt("eval", tests, "--diagnose", "--policy", "confidence:0.6", "--json").out
    found = overthinking(table)
    for row in lines(out, "overthinking"):
        k = row["exit"] - 1
        assert row["spoiled"] == found.spoiled[k]
        assert row["mended"] == found.mended[k]
        assert row["calibration_error"] == reliability(table, k).ece
    (totals,) = lines(out, "trouble")
    best = oracle(table)
    assert totals["destructive"] == found.destructive
    assert totals["wasteful"] == found.wasteful
    assert totals["wasted_macs"] == found.wasted_macs
    assert (totals["oracle_accuracy"], totals["oracle_macs"]) == (best.accuracy, best.mean_macs)
    shares = agreement(table)
    pairs = lines(out, "agreement")
    assert len(pairs) == 15
    for row in pairs:
        assert row["agreement"] == shares[row["exit"] - 1, row["other"] - 1]
    outcome = replay(table, parse_policy("confidence:0.6"))
    classes = confusion(table, outcome)
    rows = lines(out, "class")
    assert [row["class"] for row in rows] == ["dots", "noise", "waves"]
    for c, row in enumerate(rows):
        assert row["setting"] == "confidence:0.6"
        assert row["images"] == 6
        assert row["accuracy"] == classes.accuracy[c]
        assert row["mean_exit"] == classes.mean_exit[c] + 1
        assert row["exit_shares"] == classes.exit_shares[c].tolist()
    wrong = sum(row["images"] for row in lines(out, "mistaken"))
    assert outcome.accuracy == pytest.approx(1 - wrong / 18)
    for kind, samples in (("hardest", hardest(table)), ("easiest", easiest(table))):
        assert [row["name"] for row in lines(out, kind)] == [sample.name for sample in samples]
    never = [row for row in lines(out, "hardest") if row["settled"] is None]
    assert len(never) == min(10, round(18 * (1 - replay(table, parse_policy("full")).accuracy)))


def test_diagnosis_is_readable(exeunt: Exeunt, tests: Path) -> None:
    run = exeunt("eval", tests, "--diagnose", "--protocol", "anytime")
    assert run.status == 0
    assert "\x1b" not in run.out
    for text in ("spoiled", "right at some exit, wrong at the last", "taken for", "hardest 1 "):
        assert text in run.out
    assert max(map(len, run.out.splitlines())) <= 100


def test_diagnosis_of_regression(
    exeunt: Exeunt, record: Any, regression: Path, table_file: Path
) -> None:
    file = record("test", regression, table_file)
    table = load_table(file)
    out = exeunt("eval", file, "--diagnose", "--json").out
    assert {"agreement", "hardest", "easiest"} <= kinds(out)
    assert not kinds(out) & {"overthinking", "class"}
    assert [row["name"] for row in lines(out, "hardest")] == [s.name for s in hardest(table)]
    eta = 0.1 * table.logits[-1].std(correction=0).item()
    row = lines(out, "agreement")[0]
    assert row["agreement"] == agreement(table, eta)[0, 1]
    assert "error at the last exit" in exeunt("eval", file, "--diagnose").out


def test_csv_holds_everything(exeunt: Exeunt, tests: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    out = exeunt("eval", tests, "--diagnose", "--json", "--csv", path).out
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    told = [json.loads(line) for line in out.splitlines()][1:]
    assert [row["kind"] for row in rows] == [row["kind"] for row in told]
    for row, line in zip(rows, told, strict=True):
        for key, value in line.items():
            if key == "exit_shares":
                assert [float(row[f"share_{k}"]) for k in range(1, 7)] == value
            else:
                assert row[key] == ("" if value is None else str(value))


def test_figures(exeunt: Exeunt, tests: Path, held_out: Path, tmp_path: Path) -> None:
    def drawn(name: str, *arguments: object) -> set[str]:
        run = exeunt("eval", tests, "--plot", tmp_path / name, *arguments)
        assert run.status == 0, run.err
        return {path.name for path in (tmp_path / name).iterdir()}

    costs = {"costs.png", "costs.svg"}
    assert drawn("a", "--protocol", "anytime") == costs
    assert "oracle" in (tmp_path / "a" / "costs.svg").read_text()
    assert drawn("p") == costs
    assert "margin" in (tmp_path / "p" / "costs.svg").read_text()
    assert drawn("b", "--protocol", "budgeted", "--calibration", held_out) == costs
    assert "budgeted: direct" in (tmp_path / "b" / "costs.svg").read_text()
    names = {
        f"{name}.{end}"
        for name in ("reliability", "agreement", "classes")
        for end in ("png", "svg")
    }
    assert drawn("d", "--diagnose") == costs | names


def test_figures_of_regression(
    exeunt: Exeunt, record: Any, regression: Path, table_file: Path, tmp_path: Path
) -> None:
    file = record("test", regression, table_file)
    run = exeunt("eval", file, "--diagnose", "--plot", tmp_path)
    assert run.status == 0, run.err
    assert {path.name for path in tmp_path.iterdir()} == {"costs.png", "costs.svg"}
    assert "mean absolute error" in (tmp_path / "costs.svg").read_text()


def test_figures_need_matplotlib(
    exeunt: Exeunt, tests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    run = exeunt("eval", tests, "--plot", tmp_path / "new")
    assert run.status == 2
    assert 'pip install "exeunt[demo]"' in run.err
    assert run.out == ""
