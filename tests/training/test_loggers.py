"""Curves that go elsewhere: what a service is told, of fresh runs and of resumed ones."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

import exeunt
from exeunt.cli import app
from exeunt.errors import ExeuntError
from exeunt.training import Quiet

SETTINGS: dict[str, Any] = {
    "model": "resnet_cifar",
    "model_args": {"depth": 8, "width": 4},
    "exits": "0",
    "image_size": 32,
    "epochs": 2,
    "batch_size": 16,
    "limit": 40,
}


class Service:
    """Stands for all three packages, and notes what it is told."""

    def __init__(self) -> None:
        self.begun: list[dict[str, Any]] = []
        self.rows: dict[int, dict[str, Any]] = {}
        self.summary: dict[str, Any] = {}
        self.texts: dict[str, str] = {}
        self.ended = 0

    def init(self, **arguments: Any) -> Service:
        self.begun.append(arguments)
        return self

    def log(self, values: dict[str, Any], step: int) -> None:
        self.rows.setdefault(step, {}).update(values)

    def finish(self) -> None:
        self.ended += 1

    def writer(self, folder: str, purge_step: int) -> Any:
        self.begun.append({"dir": folder, "purge_step": purge_step})
        return SimpleNamespace(
            add_scalar=lambda name, value, step: self.log({name: value}, step),
            add_text=lambda name, text, step=0: self.texts.update({name: text}),
            flush=lambda: None,
            close=self.finish,
        )


@pytest.fixture(params=["tensorboard", "wandb", "trackio"])
def service(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Service:
    """The package of that name, in `sys.modules`."""
    told = Service()
    told.name = request.param  # type: ignore[attr-defined]
    if request.param == "tensorboard":
        module = ModuleType("torch.utils.tensorboard")
        module.SummaryWriter = told.writer  # type: ignore[attr-defined]
    else:
        module = ModuleType(request.param)
        module.init, module.log, module.finish = told.init, told.log, told.finish  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return told


class Stop(Quiet):
    def epoch(self, entry: dict[str, Any]) -> None:
        raise KeyboardInterrupt


def test_a_service_is_told_what_the_folder_has(service: Any, colours: Path, tmp_path: Path) -> None:
    """Rows are those of `metrics.csv`, figures those of the weights; a resumed run is one run."""
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        exeunt.train(colours, out, log=service.name, progress=Stop(), **SETTINGS)
    assert service.ended == 1, "closed however the run ends"
    assert set(service.rows) == {1}
    clf = exeunt.train(colours, out, log=service.name, resume=True, progress=Quiet(), **SETTINGS)
    assert service.ended == 2
    with (out / "metrics.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    for row in table:
        logged = service.rows[int(row.pop("epoch"))]
        for column, text in row.items():
            name, _, place = column.rpartition("_")
            key = f"{name}/exit_{place}" if place.isdigit() else column
            assert logged[key] == float(text), column
    figures = service.rows[2] | service.summary | service.texts
    test = clf.info.metrics["test"]
    assert figures["test/policy/saving"] == test["policy"]["saving"]
    assert figures["test/policy/spec"] == clf.info.policy
    assert figures["test/exits/exit_2/accuracy"] == test["exits"][1]["accuracy"]
    first, second = service.begun
    if service.name == "tensorboard":
        assert (first["purge_step"], second["purge_step"]) == (1, 2)
        assert '"epochs": 2' in service.texts["config"]
        assert first["dir"] == second["dir"] == str(out)
    else:
        assert first == second | {"config": first["config"]}
        assert first["config"]["config"]["epochs"] == 2
        assert (first["project"], first["resume"]) == ("exeunt", "allow")
        other = exeunt.train(
            colours, tmp_path / "b" / "run", log=[service.name], progress=Quiet(), **SETTINGS
        )
        assert other.info.metrics == clf.info.metrics
        key = "id" if service.name == "wandb" else "name"
        assert service.begun[2][key].startswith("run-")
        assert service.begun[2][key] != first[key], "another folder of the same name"


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "trackio"])
def test_a_package_that_is_missing_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "torch.utils.tensorboard" if name == "tensorboard" else name
    monkeypatch.setitem(sys.modules, module, None)
    said = rf"log='{name}' needs {name}, .*: pip install 'exeunt\[{name}\]'"
    with pytest.raises(ExeuntError, match=said):
        exeunt.train(tmp_path, tmp_path / "run", log=name, **SETTINGS)
    options = ["--model", "resnet_cifar", "--out", str(tmp_path / "run"), "--log", name]
    result = CliRunner().invoke(app, ["train", str(tmp_path), *options])
    assert result.exit_code == 2
    assert f"pip install 'exeunt[{name}]'" in " ".join(result.stderr.split())
    assert not (tmp_path / "run").exists()
    with pytest.raises(ExeuntError, match="log='tensorbord'; did you mean tensorboard"):
        exeunt.train(tmp_path, tmp_path / "run", log="tensorbord", **SETTINGS)


def test_a_logger_of_ones_own(colours: Path, tmp_path: Path) -> None:
    class Diary:
        def __init__(self) -> None:
            self.told: list[str] = []

        def start(self, record: Mapping[str, Any], folder: Path, done: int) -> None:
            self.told.append(f"{record['splits']['train']} images into {folder.name}, {done} done")

        def epoch(self, epoch: int, values: Mapping[str, float]) -> None:
            self.told.append(f"{epoch} with {len(values)} values")

        def finish(self, figures: Mapping[str, Any]) -> None:
            self.told.append(f"{figures['test/samples']} to test")

        def close(self) -> None:
            self.told.append("closed")

    diary = Diary()
    exeunt.train(colours, tmp_path / "run", log=diary, progress=Quiet(), **SETTINGS)
    assert diary.told == [
        "34 images into run, 0 done",
        *("1 with 9 values", "2 with 9 values", "24 to test", "closed"),
    ]


def test_what_is_no_logger_is_named(tmp_path: Path) -> None:
    for log in (3, [3]):
        with pytest.raises(ExeuntError, match=r"log=3 has no start, epoch, finish, close; give a"):
            exeunt.train(tmp_path, tmp_path / "run", log=log, **SETTINGS)  # type: ignore[arg-type]


def test_event_files_hold_the_curve(colours: Path, tmp_path: Path) -> None:
    """With TensorBoard itself, where it is installed."""
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    exeunt.train(colours, tmp_path / "run", log="tensorboard", progress=Quiet(), **SETTINGS)
    events = reading.EventAccumulator(str(tmp_path / "run"))
    events.Reload()
    with (tmp_path / "run" / "metrics.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    curve = [(e.step, e.value) for e in events.Scalars("train_loss/exit_2")]
    assert curve == [(k, pytest.approx(float(table[k - 1]["train_loss_2"]))) for k in (1, 2)]


def test_an_id_that_is_none_is_named(
    colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, module = Service(), ModuleType("wandb")
    module.init = told.init  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        exeunt.train(colours, out, log="wandb", progress=Stop(), **SETTINGS)
    (out / "wandb.json").write_text("[]")
    with pytest.raises(ExeuntError, match=r"wandb\.json: no id of a run; remove the file"):
        exeunt.train(colours, out, log="wandb", resume=True, progress=Quiet(), **SETTINGS)
