"""What CONTRIBUTING.md says to do is done here, and what it names is there."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import exeunt
from exeunt.data import Transform
from exeunt.score.engine import ENGINES

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_the_steps_for_an_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    (tmp_path / "threads_of_the_page.py").write_text(block, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    (module, function) = re.findall(r'`"threads": "exeunt\.score\.(threads):(\w+)"`', PAGE)[0]
    monkeypatch.setitem(ENGINES, module, f"threads_of_the_page:{function}")
    torch.manual_seed(0)
    clf = exeunt.Classifier(
        exeunt.create_model("mobilenetv2_035", num_classes=2),
        transform=Transform((32, 32)),
        class_names=["a", "b"],
    )
    clf.save(tmp_path / "w.safetensors")
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    for n in range(5):
        pixels = rng.integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{n}.png")
    found = {}
    for engine in ("local", "threads"):
        out = tmp_path / engine
        exeunt.score_images(
            tmp_path / "w.safetensors", tmp_path / "images", out, engine=engine, block_size=2
        )
        found[engine] = [
            parquet.ParquetFile(path).read().to_pylist() for path in sorted(out.glob("part-*"))
        ]
    assert found["threads"] == found["local"]
    assert len(found["threads"]) == 3
    sys.modules.pop("threads_of_the_page")


def test_all_files_that_are_named_are_there() -> None:
    texts = re.findall(r"`((?:src|tests|docs)/[\w/.]+)`", PAGE)
    rooms = re.findall(r"`((?:graph|quantize|export|bench)/[\w/]+\.py)`", PAGE)
    named = [ROOT / text for text in texts if "NAME" not in text and "that_file" not in text]
    named += [ROOT / "src" / "exeunt" / text for text in rooms]
    assert len(named) > 12
    missing = [path for path in named if not path.exists()]
    assert not missing


def test_all_names_that_are_said_are_there() -> None:
    for place, name in (
        ("tests/models/test_zoo.py", "SMALL"),
        ("tests/test_policies.py", "test_own_policies_keep_the_contract"),
        ("src/exeunt/bench/__init__.py", "ENGINES"),
        ("src/exeunt/runner/engine.py", "ENGINES"),
        ("src/exeunt/score/engine.py", "ENGINES"),
        ("src/exeunt/cli/options.py", "Cluster"),
    ):
        assert f"`{name}`" in PAGE
        assert place in PAGE or place.endswith(("bench/__init__.py",))
        text = (ROOT / place).read_text(encoding="utf-8")
        assert re.search(rf"^(class |def )?{name}\b", text, flags=re.MULTILINE), (place, name)


def test_the_conda_recipe_asks_for_what_pyproject_asks_for() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    recipe = (ROOT / "conda" / "recipe.yaml").read_text(encoding="utf-8")
    wanted = {one.replace("torch>", "pytorch>", 1) for one in project["dependencies"]}
    wanted.add(f"python{project['requires-python']}")
    run = recipe.partition("  run:\n")[2].partition("\n\n")[0]
    assert {line.strip("- ").replace(" ", "") for line in run.splitlines()} == wanted
    assert f'version: "{project["version"]}"' in recipe
    assert f"summary: {project['description']}" in recipe


def test_configurations_are_yaml() -> None:
    yaml = pytest.importorskip("yaml")
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [hook["id"] for hook in hooks["repos"][0]["hooks"]] == [
        *("ruff-check", "ruff-format", "mypy")
    ]
    assert yaml.safe_load((ROOT / "conda" / "recipe.yaml").read_text(encoding="utf-8"))
