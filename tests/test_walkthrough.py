"""The commands of README and of the pages, typed one after the other as they are written, in a
folder that holds no more than what they begin with: labelled `photos`, and `new` ones.

A block is typed if `photos` is all that it needs. Pages other than README find what README's
commands have left, and do not repeat them.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import exeunt
from exeunt.cli import app
from exeunt.training import TrainConfig

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").glob("*.md"))
OTHER_NEEDS = ("imagenette128", "human160", "coco", "digits", "DATA", "experiments/")
INSTEAD = {"efficientnet_lite0.imagenet": "rex_mobilenetv2_075.imagenette"}
"""Weights that a package brings, and those that ship and run eight times faster."""
TOOLS = {"--device": "qemu-system-arm", "make": "make", "--images": "cc"}
TOOLS |= {"web": "wasm-ld", "--live": "wasm-ld"}


def blocks(page: Path) -> list[list[str]]:
    found = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [
        block.splitlines()
        for block in found
        if re.search(r"\bphotos\b", block) and not any(need in block for need in OTHER_NEEDS)
    ]


def give_photos(folder: Path) -> None:
    """Fourteen images of each of two classes, and a new one of each."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:128, :140]
    for kind in ("dots", "waves"):
        (folder / "photos" / kind).mkdir(parents=True)
        (folder / "new").mkdir(exist_ok=True)
        for i in range(15):
            size = rng.uniform(4, 12)
            grey = np.sin(x / size) + (np.sin(y / size) if kind == "dots" else 0)
            pixels = (grey[..., None] * 60 + 128) * rng.uniform(0.3, 1, 3)
            name = f"photos/{kind}/{i}.jpg" if i else f"new/{kind}.jpg"
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name)
    shutil.copytree(ROOT / "examples", folder / "examples")


def type_line(line: str, folder: Path) -> None:
    """Types a line in a shell, or for `exeunt` into this process, which has loaded torch.

    Raises:
        AssertionError: The command failed, and no comment behind it says that it may.
    """
    command, _, comment = line.partition("  #")
    for slow, quick in INSTEAD.items():
        command = command.replace(slow, quick)
    words = shlex.split(command)
    if any(word in words and shutil.which(tool) is None for word, tool in TOOLS.items()):
        return
    if words[0] == "exeunt":
        arguments: list[str] = []
        for word in words[1:]:
            arguments += sorted(map(str, Path().glob(word))) if "*" in word else [word]
        result = CliRunner().invoke(app, arguments)
        status, said = result.exit_code, result.output
        assert result.exception is None or isinstance(result.exception, SystemExit), line
    else:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = os.environ | {"PATH": path, "PWD": str(folder)}
        run = subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, env=environment, check=False
        )
        status, said = run.returncode, run.stdout + run.stderr
    assert status == 0 or ("refused" in comment and status == 2), f"{line}\n{said}"


@pytest.fixture(scope="module")
def after_readme(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readme")
    give_photos(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for block in blocks(README):
            for line in block:
                type_line(line, folder)
    return folder


@pytest.mark.slow
def test_the_commands_of_the_readme_work(after_readme: Path) -> None:
    assert (after_readme / "report.html").stat().st_size > 50_000
    assert (after_readme / "runs" / "photos.csv").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::exeunt.ExeuntWarning")
def test_the_same_in_python(
    after_readme: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for the training, whose settings are looked at: the command has done it."""
    shutil.copytree(after_readme, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```py\n(.*?)```", page, flags=re.DOTALL)
    if shutil.which("cc") is None:
        block = block.replace("exeunt.verify(", "# ")
    sets, train, rest = block.split("\n", 2)
    given: dict[str, object] = {}
    for line in (sets, train):
        for call in (node for node in ast.walk(ast.parse(line)) if isinstance(node, ast.Call)):
            given |= {w.arg: ast.literal_eval(w.value) for w in call.keywords if w.arg}
    config = TrainConfig.from_dict(given, "index.md")
    assert (config.model, config.model_args) == ("efficientnet_lite0", {"weights": "imagenet"})
    assert (config.regime, config.epochs, config.image_size) == ("exits", 8, 224)
    names: dict[str, object] = {"exeunt": exeunt, "clf": exeunt.load("runs/photos")}
    Path("report.html").unlink()
    exec(compile(rest, "index.md", "exec"), names)
    for made in ("runs/calibrated.safetensors", "report.html", "net/report.json"):
        assert Path(made).exists()


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda p: p.name)
def test_the_commands_of_a_page_work(
    page: Path, after_readme: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(after_readme, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    typed_before = {shlex.join(shlex.split(line)) for block in blocks(README) for line in block}
    for block in blocks(page):
        for line in block:
            if shlex.join(shlex.split(line, comments=True)) not in typed_before:
                type_line(line, tmp_path)


def test_pages_are_typed() -> None:
    assert {"deployment.md", "microcontroller.md", "recording.md"} <= {
        page.name for page in PAGES if blocks(page)
    }
