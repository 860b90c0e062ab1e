"""The harness of the experiments: rows that come again, claims by hand, a page of rows alone."""

from __future__ import annotations

import importlib
import json
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from exeunt.evaluate import ExitTable, replay
from exeunt.models import MODELS, create_model
from exeunt.ops.recurrence import CELLS
from exeunt.policies import Consistency
from exeunt.training.regimes import REGIMES

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reproduction.md"


@pytest.fixture(scope="module")
def load() -> Any:
    """Imports a module of the experiments; what they register goes again."""
    sys.path.insert(0, str(ROOT / "experiments"))
    before = set(sys.modules)
    yield importlib.import_module
    sys.path.remove(str(ROOT / "experiments"))
    for name in set(sys.modules) - before:
        if name.split(".")[0] in ("harness", "studies", "run", "render", "table4", "published"):
            del sys.modules[name]
    for registry, name in ((MODELS, "one_layer"), (REGIMES, "exits_alone")):
        if name in registry:
            registry.remove(name)
    CELLS.pop("hard_mingru", None)


@pytest.fixture(scope="module")
def studies(load: Any) -> dict[str, Any]:
    found: dict[str, Any] = load("studies").STUDIES
    return found


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four classes of noise around a colour, in the layout of ImageNet."""
    root = tmp_path_factory.mktemp("sets")
    draw = np.random.default_rng(0)
    for pool, count in (("train", 12), ("val", 6)):
        for k in range(4):
            folder = root / "imagenet" / pool / f"n0000000{k}"
            folder.mkdir(parents=True)
            for i in range(count):
                colour = draw.integers(0, 60, 3) + np.array([200, 60, 20])[np.arange(3) - k]
                pixels = draw.integers(0, 40, (40, 40, 3)) + colour
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{i}.png")
    return root


def test_every_run_can_be_built(studies: dict[str, Any]) -> None:
    for study in studies.values():
        assert len({run.name for run in study.runs}) == len(study.runs)
        for run in study.runs:
            config = study.config(run, 0, "small")
            if "paper" in study.scales:
                study.config(run, 0, "paper")
            heads = {} if config.exit_head is None else {"exit_head": config.exit_head.split(",")}
            net = create_model(config.model, num_classes=4, **heads, **config.model_args)
            size = config.train_size or config.image_size
            with torch.inference_mode():
                assert net.eval()(torch.zeros(1, 3, size, size))[-1].shape == (1, 4)


def tiny(studies: dict[str, Any]) -> Any:
    """Table 3, of two runs that take no time."""
    study = studies["table3"]
    scale = replace(
        study.scales["paper"],
        width=0.35,
        settings={"image_size": 32, "epochs": 1, "batch_size": 8, "calibration_fraction": 0.25},
    )
    runs = tuple(run.seeded(0) for run in study.runs[:2])
    return replace(study, name="tiny", runs=runs, scales={"small": scale, "paper": scale})


def test_a_row_that_is_missing_comes_again(
    load: Any, studies: dict[str, Any], sets: Path, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    run: ModuleType = load("run")
    monkeypatch.setitem(studies, "tiny", tiny(studies))
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    options = ["tiny", "--data", str(sets), "--results", str(tmp_path / "results")]
    run.main([*options, "--plan"])
    assert "0 of 2 done" in capsys.readouterr().out
    run.main(options)
    file = tmp_path / "results" / "tiny.csv"
    lines = file.read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["run", "original", "ReX"]
    assert not list((tmp_path / "runs" / "experiments" / "small").iterdir())
    file.write_text("\n".join([lines[0], lines[2]]) + "\n")
    run.main(options)
    again = file.read_text().splitlines()
    minutes = lines[0].split(",").index("minutes")

    def without_time(line: str) -> list[str]:
        return [cell for k, cell in enumerate(line.split(",")) if k != minutes]

    assert list(map(without_time, again)) == list(map(without_time, lines))
    run.main([*options, "--plan"])
    assert "2 of 2 done" in capsys.readouterr().out
    rows = load("harness.results").read_rows(studies["tiny"], tmp_path / "results")
    exits = load("harness.measure").numbers(rows[0]["exits"])
    right = load("harness.measure").unpacked(rows[0]["right_last"], int(rows[0]["samples"]))
    assert (len(exits), int(rows[0]["samples"])) == (6, 24)
    assert exits[-1] == pytest.approx(right.mean(), abs=1e-4)


@pytest.fixture(scope="module")
def digits(sets: Path) -> Path:
    """Grey images whose value is how bright they are."""
    (sets / "digits").mkdir()
    lines = ["file,value,split"]
    for i in range(60):
        Image.new("L", (32, 32), 4 * i).save(sets / "digits" / f"{i}.png")
        lines.append(f"{i}.png,{i / 60},{'test' if i % 5 == 0 else 'train'}")
    (sets / "digits" / "angles.csv").write_text("\n".join(lines))
    return sets


@pytest.mark.parametrize(
    ("name", "images"),
    [
        *[
            (name, "imagenet")
            for name in ("figure6", "ranet_cifar10", "targets", "rex_search", "equal_ram")
        ],
        ("regression", "digits"),
    ],
)
def test_every_kind_of_figures(
    load: Any,
    studies: dict[str, Any],
    digits: Path,
    tmp_path: Path,
    monkeypatch: Any,
    name: str,
    images: str,
) -> None:
    """What a row says of a network fits its columns, and the claims can be made of it."""
    run, study = load("run"), studies[name]
    scale = study.scales["small"]
    settings = dict(scale.settings) | {"epochs": 1, "batch_size": 8, "image_size": 32}
    settings.pop("train_size", None)
    small = replace(scale, images=images, settings=settings)
    one = replace(study, runs=(study.runs[-1].seeded(0),), scales={"small": small})
    monkeypatch.setitem(studies, name, one)
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    run.main([name, "--data", str(digits), "--results", str(tmp_path)])
    (row,) = load("harness.results").read_rows(one, tmp_path)
    assert all(row[column] for column in one.columns)
    render = load("render")
    monkeypatch.setitem(render.SETTING, images, "what a test makes")
    empty = render.BEGIN + render.END
    page = render.with_results(empty, tmp_path, tmp_path / "pictures")
    page += render.with_trials(empty, tmp_path, tmp_path / "pictures")
    assert any(line.startswith(f"| {one.runs[0].name} |") for line in page.splitlines())


def test_the_commands_of_the_papers_scale_train(
    load: Any, studies: dict[str, Any], sets: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    """On two processes, for an epoch of two batches."""
    run: ModuleType = load("run")
    study = tiny(studies)
    better = replace(studies["table3"].runs[2], seeds=(0,))
    config = study.config(better, 0, "paper")
    out = tmp_path / "run"
    words = shlex.split(run.command(config, sets / "imagenet", out))
    assert words[:4] == ["torchrun", "--standalone", "--nproc-per-node=8", "-m"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node=2", *words[3:], "--workers", "0", "--threads", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    record = json.loads((out / "run.json").read_text())["config"]
    assert record == json.loads(json.dumps(config.to_dict()))


def test_bits_come_back(load: Any) -> None:
    measure = load("harness.measure")
    right = np.random.default_rng(0).random(1001) < 0.8
    assert (measure.unpacked(measure.packed(right), 1001) == right).all()


def test_right_on_the_way(load: Any) -> None:
    """Three exits, four samples; agreement of two lets 0 and 3 leave at the second exit."""
    said = torch.tensor([[0, 0, 1, 2], [0, 1, 0, 2], [1, 2, 2, 0]])
    logits = torch.nn.functional.one_hot(said, 3).float()
    targets = torch.tensor([0, 0, 2, 0])
    table = ExitTable.from_logits(logits, targets, [1, 2, 3])
    outcome = replay(table, Consistency(1))
    assert outcome.exit_index.tolist() == [1, 2, 2, 1]
    right = said == targets
    found = load("harness.measure").right_on_the_way(right, outcome)
    assert found.tolist() == [True, True, True, False]


def row(load: Any, run: str, seed: int, right: Any) -> dict[str, str]:
    bits = np.array(right, bool)
    packed = load("harness.measure").packed(bits)
    return {"run": run, "seed": str(seed), "samples": str(len(bits)), "right_last": packed}


def test_differences_are_paired(load: Any) -> None:
    """Of 400 images the first is right on 40 more and on 10 others less: 7.5 points; the interval
    over images is that of a mean of 40 ones, 10 minus ones and zeros.
    """
    claims = load("harness.claims")
    first = np.zeros(400, bool)
    second = np.zeros(400, bool)
    first[:240], second[40:250] = True, True
    rows = [row(load, "a", 0, first), row(load, "b", 0, second), row(load, "b", 1, second)]
    found = claims.difference(rows, "a", "b", "right_last")
    assert (found.points, found.seeds) == (pytest.approx(7.5), 1)
    gains = first.astype(float) - second
    error = 196 * gains.std() / np.sqrt(400)
    assert (found.low, found.high) == (
        pytest.approx(7.5 - error, abs=0.4),
        pytest.approx(7.5 + error, abs=0.4),
    )
    assert found.verdict() == "holds"
    assert found.verdict(larger=False) == "does not hold"
    assert found.verdict(least=7.5) == claims.UNCLEAR
    assert found.verdict(least=15) == "does not hold"
    assert claims.difference(rows, "b", "b", "right_last").verdict() == claims.UNCLEAR
    assert claims.difference(rows, "a", "c", "right_last") is None


def test_seeds_widen_an_interval(load: Any) -> None:
    """Two seeds that differ in sign tell nothing, however many images there are."""
    claims = load("harness.claims")
    worse, better = np.zeros(2000, bool), np.ones(2000, bool)
    rows = [row(load, "a", 0, better), row(load, "a", 1, worse)]
    rows += [row(load, "b", 0, worse), row(load, "b", 1, better)]
    found = claims.difference(rows, "a", "b", "right_last")
    assert (found.points, found.low, found.high, found.seeds) == (0, -100, 100, 2)


def test_what_the_better_form_should_reach(load: Any) -> None:
    """Level in accuracy, at 0.8 of the multiply-adds and 0.7 of the RAM."""
    targets = load("studies.targets")
    right = np.arange(400) < 300
    rows = []
    figures = ((targets.BEHIND, "4 8", "6", "700"), (targets.PLAIN, "5 10", "8", "1000"))
    for name, macs, stored, ram in figures:
        bits = row(load, name, 0, right)
        bits |= dict.fromkeys(("right_stored", "right_first"), bits["right_last"])
        rows.append(bits | {"macs": macs, "stored_macs": stored, "ram_bytes": ram})
    verdicts = [claim.verdict for claim in targets.claims(rows)]
    unclear = load("harness.claims").UNCLEAR
    assert verdicts[6:] == [unclear, unclear, "holds", "holds", "holds", "does not hold"]
    assert {*verdicts[:6]} == {"not run yet"}
    assert {claim.verdict for claim in targets.claims(rows[:1])} == {"not run yet"}
    *_, against = targets.summary(rows)
    assert against.startswith(f"| {targets.BEHIND} | +0.0 points")
    assert against.endswith("| 0.80 | 0.75 | 0.70 |")
    assert len(targets.summary(rows[:1])) == 2


def test_the_page_is_made_of_the_rows(load: Any, tmp_path: Path) -> None:
    render = load("render")
    page = PAGE.read_text(encoding="utf-8")
    assert render.with_results(page, pictures=tmp_path / "reproduction") == page
    page = render.REX_PAGE.read_text(encoding="utf-8")
    assert render.with_trials(page, pictures=tmp_path / "rex") == page
