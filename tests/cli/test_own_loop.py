"""A file of one's own loop goes the whole road; what it does not say is said, not made up."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

import exeunt as library
from exeunt import Classifier, ExeuntError, ExeuntWarning
from exeunt.data import SplitSpec, Transform, fingerprint, open_source
from exeunt.models import load_weights

EXAMPLES = Path(__file__).parents[2] / "examples" / "own_loop"


class LightningModule(nn.Module):
    """What the example asks of Lightning's."""

    def log(self, *_: object, **__: object) -> None:
        pass


class LightningTrainer:
    """Steps as Lightning's does, without anything around it."""

    def __init__(self, max_epochs: int, **_: Any) -> None:
        self.max_epochs = max_epochs

    def fit(self, module: Any, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        optimizer = module.configure_optimizers()
        for _ in range(self.max_epochs):
            for number, batch in enumerate(batches):
                step(optimizer, module.train().training_step(batch, number))


class TransformersTrainer:
    """Steps as transformers' does, without anything around it."""

    def __init__(self, model: nn.Module, args: Any, data_collator: Any, train_dataset: Any) -> None:
        self.model, self.args = model, args
        size = args.per_device_train_batch_size
        self.batches: Any = DataLoader(train_dataset, size, True, collate_fn=data_collator)

    def train(self) -> None:
        optimizer = torch.optim.AdamW(self.model.parameters(), self.args.learning_rate)
        for _ in range(self.args.num_train_epochs):
            for batch in self.batches:
                step(optimizer, self.model.train()(**batch)["loss"])


def step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


STAND_INS: dict[str, dict[str, Any]] = {
    "lightning": {"LightningModule": LightningModule, "Trainer": LightningTrainer},
    "transformers": {"Trainer": TransformersTrainer, "TrainingArguments": SimpleNamespace},
}
SETTINGS: dict[str, dict[str, Any]] = {
    "lightning": {"accelerator": "cpu", "logger": False, "enable_checkpointing": False},
    "transformers": {"use_cpu": True, "disable_tqdm": True},
}


def open_example(name: str, stand_in_for: str | None, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The example, over its library or a stand-in for that."""
    if stand_in_for is not None:
        stand_in = ModuleType(stand_in_for)
        vars(stand_in).update(STAND_INS[stand_in_for])
        monkeypatch.setitem(sys.modules, stand_in_for, stand_in)
    monkeypatch.syspath_prepend(EXAMPLES)
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "needs"),
    [("plain", None), ("with_lightning", "lightning"), ("with_transformers", "transformers")],
)
def test_the_examples_train_and_the_commands_take_their_files(
    name: str, needs: str | None, images: Path, tmp_path: Path, exeunt: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    torch.manual_seed(0)
    out = tmp_path / "mine.safetensors"
    installed = needs is not None and importlib.util.find_spec(needs) is not None
    with warnings.catch_warnings():
        if installed:
            warnings.simplefilter("ignore")  # those of the library
        example = open_example(name, None if installed else needs, monkeypatch)
        example.train(str(images), str(out), 1, 32, **SETTINGS.get(str(needs), {}))
    torch.manual_seed(0)
    before = library.create_model("rex_mobilenetv2_050", num_classes=3).state_dict()
    after, info = load_weights(out)
    moved = [
        key for key, value in after.state_dict().items() if not torch.equal(value, before[key])
    ]
    assert any("running_mean" in key for key in moved)
    assert any("exit" in key and key.endswith("weight") for key in moved)
    assert info.split == {**vars(SplitSpec())}
    assert exeunt("info", out).status == 0
    evaluated = exeunt("eval", out, images, "--json")
    assert evaluated.status == 0
    run = json.loads(evaluated.out.splitlines()[0])
    assert run["samples"] == 9
    assert run["trained_on_fingerprint"] == run["data_fingerprint"]
    done = exeunt("calibrate", out, images, "--budget-fraction", 0.9)
    assert done.status == 0, done.err
    assert "nothing says" not in done.err


@pytest.fixture
def clf() -> Classifier:
    torch.manual_seed(0)
    net = library.create_model("mobilenetv2_035", num_classes=3)
    names = ("dots", "noise", "waves")
    return Classifier(net, transform=Transform((32, 32)), class_names=names, data_name="shapes")


@pytest.fixture
def file(clf: Classifier, tmp_path: Path) -> Path:
    clf.save(tmp_path / "own.safetensors")
    return tmp_path / "own.safetensors"


@pytest.fixture
def pools(images: Path, tmp_path: Path) -> Path:
    """`train/` and `test/`."""
    for pool, ten in (("train", range(10)), ("test", range(10, 20))):
        for name in ("dots", "noise", "waves"):
            (tmp_path / "pools" / pool / name).mkdir(parents=True)
            for i in ten:
                shutil.copy(images / name / f"{i:02}.png", tmp_path / "pools" / pool / name)
    return tmp_path / "pools"


def test_a_split_that_nobody_stated_is_not_made_up(
    clf: Classifier, file: Path, exeunt: Any
) -> None:
    assert clf.info.split == {}
    assert clf.info.data == {"name": "shapes"}
    said = exeunt("info", file).out
    assert re.search(r"^splits +not stated$", said, flags=re.MULTILINE)
    assert "shapes (not stated)" in said


def test_held_out_pools_are_taken_and_training_pools_are_not(
    file: Path, pools: Path, tmp_path: Path, exeunt: Any
) -> None:
    done = exeunt("eval", file, pools)
    assert done.status == 0
    assert "nothing says" not in done.err, "the folder has images to test on"
    refused = ("calibrate", file, pools, "--budget-fraction", 0.9, "--out", tmp_path / "no")
    for words in (
        refused,
        ("export", file, "--calibration", pools, "--out", tmp_path / "no"),
        ("record", file, pools, "--split", "calibration", "--out", tmp_path / "no.exits"),
    ):
        done = exeunt(*words)
        assert done.status != 0
        assert "the weights do not say which of those were held out" in done.err
    assert not list(tmp_path.glob("no*"))


def test_apart_images_calibrate_and_export_with_a_warning(
    clf: Classifier, file: Path, pools: Path, tmp_path: Path, exeunt: Any
) -> None:
    apart = pools / "test"
    done = exeunt(
        "calibrate", file, apart, "--budget-fraction", 0.9, "--out", tmp_path / "c.safetensors"
    )
    assert done.status == 0, done.err
    assert done.err.count("nothing says whether these are the images of the training") == 1
    done = exeunt("export", file, "--calibration", apart, "--out", tmp_path / "net")
    assert done.status == 0, done.err
    assert "nothing says whether" in done.err
    with pytest.warns(ExeuntWarning, match="the test split is cut with the default seed"):
        clf.record(apart)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(clf.record(apart, "all")) == 30


def test_a_split_that_was_stated_holds(pools: Path) -> None:
    net = library.create_model("mobilenetv2_035", num_classes=3)
    stated = Classifier(
        net,
        transform=Transform((32, 32)),
        class_names=("dots", "noise", "waves"),
        split=SplitSpec(seed=3, calibration_fraction=0.3),
        data_fingerprint=fingerprint(open_source(pools).samples),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = stated.calibrate(pools, budget_fraction=0.9)
    assert found.calibration is not None
    assert len(found.calibration.table) == 9


class Wrapped(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


def test_what_wraps_a_network_is_taken_off(clf: Classifier, tmp_path: Path) -> None:
    wrapped = Classifier(
        Wrapped(torch.compile(clf.net)), transform=clf.transform, class_names=clf.class_names
    )
    wrapped.save(tmp_path / "w.safetensors")
    assert (
        load_weights(tmp_path / "w.safetensors")[0].state_dict().keys()
        == clf.net.state_dict().keys()
    )
    with pytest.raises(ExeuntError, match="a Linear is no network with exits"):
        Classifier(nn.Linear(2, 2), transform=clf.transform)
