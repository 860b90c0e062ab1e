"""A user's own parts: registered, checked, used by name from the command line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from typer.testing import CliRunner

import exeunt
from exeunt import registry
from exeunt.cli import app
from exeunt.data import AUGMENTATIONS, Augment, Transform
from exeunt.errors import ExeuntError, ExeuntWarning
from exeunt.export.onnx.decision import decide
from exeunt.models import MODELS, create_model
from exeunt.ops.exits import EXIT_HEADS, ExitHead, PooledExit
from exeunt.own_code import import_own
from exeunt.policies import POLICIES, Conditions, Memory
from exeunt.registry import Registry
from exeunt.training import REGIMES, Pass, Regime, TrainConfig

PAGE = Path(__file__).parent.parent / "docs" / "extending.md"
REGISTRIES: tuple[Registry[Any], ...] = (MODELS, POLICIES, REGIMES, EXIT_HEADS, AUGMENTATIONS)


@pytest.fixture(autouse=True)
def _as_they_were(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leaves registries, `sys.path` and modules as they were."""
    for known in REGISTRIES:
        monkeypatch.setattr(known, "_entries", dict(known._entries))
    monkeypatch.setattr(sys, "path", [*sys.path])
    modules = {*sys.modules}
    yield
    for name in {*sys.modules} - modules:
        if name.startswith("own_") or name == "mine":
            del sys.modules[name]


def code(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def test_the_page_of_own_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its module passes its checks, and its commands train and evaluate with all five parts."""
    rng = np.random.default_rng(0)
    for kind, level in (("dark", 60), ("light", 190)):
        (tmp_path / "shades" / kind).mkdir(parents=True)
        for i in range(20):
            pixels = rng.normal(level, 30, (36, 36, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "shades" / kind / f"{i}.png")
    (tmp_path / "mine.py").write_text(code("python"), encoding="utf-8")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *words, "--workers", "0"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    listing, training, evaluation = code("sh").replace("DATA", "shades").splitlines()
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(app, listing.split()[1:]).stdout
    for name in ("two_convolutions", "ratio", "weakest", "largest", "posterise"):
        assert re.search(rf"^\S.*\b{name} +mine$", shown, re.MULTILINE), name
    checks = code("python").partition('if __name__ == "__main__":\n')[2]
    assert checks.count("check_") == 5
    exec(textwrap.dedent(checks), vars(sys.modules["mine"]))

    run(*training.split())
    record = json.loads((tmp_path / "runs" / "mine" / "run.json").read_text(encoding="utf-8"))
    asked = {key: record["config"][key] for key in ("regime", "exit_head", "augment", "exits")}
    assert asked == {
        **{"regime": "weakest", "exit_head": "largest", "augment": "posterise"},
        "exits": "paper",
    }
    assert record["finished"]
    assert record["command"] == f"{training} --workers 0"
    rows = run(*evaluation.split(), "--json").splitlines()
    settings = {row.get("setting") for row in map(json.loads, rows)}
    assert {"ratio:2", "confidence:0.8"} <= settings, rows


def wrong(**parameters: Any) -> None:
    raise AssertionError("is only registered")


@pytest.mark.parametrize(
    ("builder", "said"),
    [
        (lambda in_chans=3: None, "takes no num_classes"),
        (lambda num_classes=2: None, "takes no in_chans"),
        (lambda num_classes, in_chans: None, "give num_classes of its builder a default"),
        (lambda width, num_classes=2, in_chans=3: None, "give width of its builder a default"),
        (lambda *images: None, "takes no num_classes"),
        (7, "int is no function"),
    ],
)
def test_a_builder_must_take_what_training_passes(builder: Any, said: str) -> None:
    with pytest.raises(ExeuntError, match=f"model 'odd': .*{said}"):
        exeunt.register_model(builder, name="odd")
    assert "odd" not in exeunt.list_models()


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda num_classes=2, in_chans=3: nn.Flatten(), "returned Flatten, not a MultiExitNet"),
        (
            lambda num_classes=2, in_chans=3: create_model("resnet_cifar", 7),
            "asked for num_classes=3, its builder returned a network with num_classes=7",
        ),
    ],
)
def test_a_builder_must_return_what_is_asked_for(made: Any, said: str) -> None:
    exeunt.register_model(made, name="odd")
    with pytest.raises(ExeuntError, match=said):
        create_model("odd", 3)


def test_names_are_checked_alike() -> None:
    AUGMENTATIONS.add("mirror", wrong)
    for known in REGISTRIES:
        taken = next(iter(known))
        with pytest.raises(ExeuntError, match=f"{known.noun} named '{taken}' is registered"):
            known.add(taken, wrong)
        for name in ("", "a b", "a:b", "a,b", "a+b", "7", "a/b"):
            with pytest.raises(ExeuntError, match=f"{known.noun} name .* is no name"):
                known.add(name, wrong)
        with pytest.raises(ExeuntError, match=f"unknown {known.noun} 'wrnog'.*{taken}"):
            known.find("wrnog")


def test_a_cell_of_a_notebook_may_run_twice() -> None:
    def mine() -> None: ...

    mine.__module__ = "__main__"
    known: Registry[Any] = Registry("thing")
    known.add("mine", mine)
    known.add("mine", mine)
    mine.__module__ = "elsewhere"
    with pytest.raises(ExeuntError, match="registered already"):
        known.add("mine", mine)


class Sum:
    """Leaves when weighted class indices reach a number; takes numbers in every form."""

    def __init__(self, least: float, *more: Any, low: Any = 0) -> None:
        self.given = (least, *more, low)
        self.least = least

    @property
    def spec(self) -> str:
        return f"sum-up:{self.least}"

    def observe(self, exit_index: int, logits: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        return logits.argmax(1) >= self.least, memory


def test_words_become_arguments() -> None:
    exeunt.register_policy(Sum, name="sum-up")
    made: Any = exeunt.parse_policy("sum-up:0.5,2,1/inf,low=-3")
    assert made.given == (0.5, 2, (1.0, float("inf")), -3)
    assert isinstance(made.given[1], int)
    exeunt.check_policy(made, num_classes=3)
    for text, said in (
        ("sum-up", "missing a required argument: 'least'"),
        ("sum-up:1,high=2", "unexpected keyword argument 'high'"),
        ("sum-up:low=2,1", "'1' stands behind"),
        ("sum-up:a", "could not convert"),
        ("sum_up:1", r"did you mean sum-up\?.*sum-up:\.\.\."),
        ("sum-up:1+confidence:0.5", "cannot be joined"),
    ):
        with pytest.raises(ExeuntError, match=f"policy '{re.escape(text)}'.*{said}"):
            exeunt.parse_policy(text)


def test_a_policy_that_calls_itself_otherwise_is_refused() -> None:
    exeunt.register_policy(Sum, name="other")
    with pytest.raises(ExeuntError, match="its spec is 'sum-up:1', which does not begin"):
        exeunt.parse_policy("other:1")


def test_exports_refuse_own_policies_in_a_line() -> None:
    policy: Any = Sum(1)
    for refuse in (
        lambda: Conditions.of(policy, 3),
        lambda: decide(None, policy, 0, "logits", {}),  # type: ignore[arg-type]
    ):
        with pytest.raises(ExeuntError, match=r"policy 'sum-up:1': .*not 'sum-up:1'$") as error:
            refuse()
        assert "\n" not in str(error.value)


class Frozen(Regime):
    def prepare(self, net: Any, epoch: int) -> None:
        net.requires_grad_(False)

    def loss(self, seen: Pass) -> Tensor:
        return seen.losses.sum()


class Unreduced(Regime):
    def loss(self, seen: Pass) -> Tensor:
        return seen.losses


class Detached(Regime):
    def loss(self, seen: Pass) -> Tensor:
        return seen.losses.detach().sum()


class Late(Regime):
    def loss(self, seen: Pass) -> Tensor:
        return seen.losses.sum()

    def span(self, epoch: int) -> tuple[int, int]:
        return 1, self.epochs


@pytest.mark.parametrize(
    ("regime", "said"),
    [
        (Frozen, "epoch 0 of 6: prepare lets nothing learn"),
        (Unreduced, r"loss has shape \(3,\)"),
        (Detached, "nothing that learns has a part"),
        (Late, r"span gave \(1, 6\)"),
        (lambda *_: 7, "is int; give a subclass of Regime"),
    ],
)
def test_what_breaks_the_contract_of_regimes(regime: Any, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        exeunt.check_regime(regime)


@pytest.mark.parametrize("name", ["joint", "shallow_deep", "exits", "successive"])
def test_regimes_keep_their_contract(name: str) -> None:
    exeunt.check_regime(REGIMES[name])


@pytest.mark.parametrize("name", ["pooled", "mixed", "rex", "conv"])
def test_exit_heads_keep_their_contract(name: str) -> None:
    exeunt.check_exit_head(EXIT_HEADS[name])


class OneSize(ExitHead):
    def __init__(self, channels: int, num_classes: int, dropout: float) -> None:
        super().__init__(64 * channels, num_classes, dropout)

    def reduce(self, x: Tensor) -> Tensor:
        return x.flatten(1)


class Mixing(PooledExit):
    def reduce(self, x: Tensor) -> Tensor:
        return super().reduce(x) - x.mean()


class Fixed(PooledExit):
    def reset_classifier(self, num_classes: int) -> None:
        """Does nothing."""


@pytest.mark.parametrize(
    ("head", "error", "said"),
    [
        (OneSize, RuntimeError, "shapes cannot be multiplied"),
        (Mixing, AssertionError, "8x8: batch 1 and batch 4 differ"),
        (Fixed, AssertionError, r"after reset_classifier\(5\): output of shape \(4, 3\)"),
        (lambda *_: nn.Flatten(), AssertionError, "Flatten has no reset_classifier"),
    ],
)
def test_what_breaks_the_contract_of_exit_heads(
    head: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        exeunt.check_exit_head(head)


def smaller(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image.crop((0, 0, 5, 5))


def array(image: Image.Image, rng: np.random.Generator) -> Any:
    return np.asarray(image)


def painted(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    image.paste(0, (0, 0, 5, 5))
    return image


def from_elsewhere(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    np.random.random()  # one of 624 numbers that are made together
    return image


@pytest.mark.parametrize(
    ("augmentation", "said"),
    [
        (smaller, "smaller made an image of mode RGB, 5 x 5; give back an image of mode RGB, 32"),
        (array, "array made ndarray"),
        (painted, "changes the RGB image"),
        (from_elsewhere, "numpy's global state"),
    ],
)
def test_what_breaks_the_contract_of_augmentations(augmentation: Any, said: str) -> None:
    np.random.seed(0)
    np.random.random()
    with pytest.raises(AssertionError, match=said):
        exeunt.check_augmentation(augmentation)


def test_augmentations_come_before_the_net_and_repeat() -> None:
    def shifted(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        shift = int(rng.integers(10, 50))
        return image.point(lambda value: min(255, value + shift))

    exeunt.check_augmentation(shifted)
    image = Image.new("RGB", (40, 40), (100, 100, 100))
    plain = Augment(Transform((8, 8)), flip=False)
    own = Augment(Transform((8, 8)), flip=False, augmentation=shifted)
    first, again, without = (
        augment(image, np.random.default_rng(3)) for augment in (own, own, plain)
    )
    assert torch.equal(first, again)
    assert (first >= without).all()
    assert not torch.equal(first, without)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"regime": "jiont"}, "regime='jiont'; did you mean joint"),
        ({"augment": "nothing"}, "augment='nothing'; one of trivial"),
        ({"exit_head": "poled"}, "unknown exit head 'poled'; did you mean pooled"),
    ],
)
def test_recipes_name_what_is_registered(setting: dict[str, Any], said: str) -> None:
    with pytest.raises(ExeuntError, match=said):
        create_model("resnet_cifar", **TrainConfig("resnet_cifar", **setting).exit_heads)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nowhere_at_all", "own_module.py, line 1: ModuleNotFoundError: No module named"),
        ("x = (", "own_module.py, line 1: "),
        ("\n1 / 0", "own_module.py, line 2: ZeroDivisionError: division by zero"),
        (
            "import exeunt\nexeunt.register_policy(lambda: 0, name='full')",
            "own_module.py, line 2: a policy named 'full' is registered already",
        ),
    ],
)
def test_own_code_that_fails_is_told_in_a_line(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "own_module.py"
    path.write_text(text, encoding="utf-8")
    run = CliRunner().invoke(app, ["--import", str(path), "list"])
    assert run.exit_code == 2
    assert said in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_modules_are_found_by_name_and_by_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    register = "import exeunt\nexeunt.register_policy(lambda: 0, name='{}')\n"
    Path("own_one.py").write_text(register.format("one"), encoding="utf-8")
    (tmp_path / "own_folder").mkdir()
    Path("own_folder/__init__.py").touch()
    Path("own_folder/two.py").write_text(register.format("two"), encoding="utf-8")
    import_own("own_one.py")
    import_own("own_one")  # the same module, not once more
    import_own("own_folder.two")
    assert {"one", "two"} <= POLICIES.keys()
    Path("json.py").write_text("", encoding="utf-8")
    Path("no-name.py").write_text("", encoding="utf-8")
    for module, said in (
        ("own_nothing", "no such module; give a module's name or the path of a .py file"),
        ("own_folder.three", "no such module"),
        ("own_nothing.py", "no such file"),
        ("json.py", "'json' is the name of another module"),
        ("no-name.py", "'no-name' is no name for a module"),
    ):
        with pytest.raises(ExeuntError, match=f"--import {module}: {said}"):
            import_own(module)


def test_installed_packages_bring_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = tmp_path / "own_package-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: own-package\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[exeunt.plugins]\nbroken = own_broken\nparts = own_parts\n"
    )
    (tmp_path / "own_broken.py").write_text("raise OSError('no licence')\n")
    (tmp_path / "own_parts.py").write_text(
        "import exeunt\nexeunt.register_augmentation(lambda image, rng: image, name='as_it_is')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "_plugins_sought", False)
    with pytest.warns(ExeuntWarning, match="plugin broken of own-package left out: OSError: no li"):
        assert "as_it_is" in AUGMENTATIONS
    assert AUGMENTATIONS.own() == {"as_it_is": "own_parts"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "as_it_is" in AUGMENTATIONS
