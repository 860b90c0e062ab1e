from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from exeunt.cli.demo import samples
from exeunt.data import Transform, load_image
from exeunt.inference import infer
from exeunt.models import load_weights
from exeunt.policies import parse_policy

Exeunt = Callable[..., Any]


def test_samples_are_installed_photographs() -> None:
    found = samples()
    assert len(found) >= 8
    assert {expected for _, expected in found} == {"person", "cat", "food", "vehicle", None}
    for path, _ in found:
        assert min(load_image(path).size) >= 300, path


def test_paths_exits_and_the_picture(
    exeunt: Exeunt, weights: Path, images: Path, tmp_path: Path
) -> None:
    files = [images / kind / "05.png" for kind in ("dots", "noise", "waves")]
    out = tmp_path / "new" / "demo.png"
    run = exeunt("demo", *files, "--model", weights, "--out", out)
    assert run.status == 0, run.err
    net, info = load_weights(weights)
    transform = Transform.from_dict(info.transform)
    saved = []
    macs = [row.macs for row in net.exit_info(32)]
    for file, line in zip(files, run.out.splitlines()[1:4], strict=True):
        x = transform(load_image(file))[None]
        k = int(infer(net, x, parse_policy("consistency:1")).exit_index)
        with torch.no_grad():
            says = [info.class_names[int(logits.argmax())] for logits in net(x)]
        saved.append(1 - macs[k] / macs[-1])
        assert f"exit {k + 1} of 6" in line
        assert f"{100 * saved[-1]:.1f} %" in line
        rest = f" ({' > '.join(says[k + 1 :])})" if says[k + 1 :] else ""
        assert line.endswith("  " + " > ".join(says[: k + 1]) + rest)
    assert (
        f"3 images, {100 * sum(saved) / 3:.1f} % of the MACs saved\npolicy: consistency:1\n"
        in run.out
    )
    last = "On 9 test images of shapes: 62.5 % accuracy, 12.5 % of the MACs saved by consistency:1"
    assert run.out.splitlines()[-1] == last
    with Image.open(out) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 600
    assert [file.name for file in out.parent.iterdir()] == ["demo.png"]


def test_a_policy_and_the_value_of_a_regression(
    exeunt: Exeunt, regression: Path, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "demo.png"
    file = images / "dots" / "05.png"
    run = exeunt("demo", file, "--model", regression, "--policy", "full", "--out", out)
    assert "exit 6 of 6  0.0 %" in run.out
    assert "1 image, 0.0 % of the MACs saved\npolicy: full\n" in run.out
    assert "no figures of their policy on a test split" in run.out
    assert out.is_file()


def test_an_unreadable_image_is_left_out(
    exeunt: Exeunt, weights: Path, images: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"")
    arguments = ("--model", weights, "--out", tmp_path / "demo.png")
    run = exeunt("demo", bad, images / "dots" / "05.png", *arguments)
    assert run.status == 1
    assert str(bad) in run.err
    assert "1 image, " in run.out
    run = exeunt("demo", bad, "--model", weights, "--out", tmp_path / "none.png")
    assert run.status == 2
    assert not (tmp_path / "none.png").exists()


def test_bad_input(exeunt: Exeunt, weights: Path, images: Path, tmp_path: Path) -> None:
    run = exeunt("demo", images, "--model", weights, "--out", tmp_path / "demo.jpg")
    assert run.status == 2
    assert "ends in .png" in run.err
    listed = [images] * 2
    run = exeunt("demo", *listed, "--model", weights, "--out", tmp_path / "demo.png")
    assert run.status == 2
    assert "120 images are too many" in run.err


def test_without_other_packages_the_photograph_that_ships(
    exeunt: Exeunt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = ((("no_such_package", "data"), "a.png", None),)
    monkeypatch.setattr(sys.modules["exeunt.cli.demo"], "SAMPLES", listed)
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    run = exeunt("demo", "--out", tmp_path / "demo.png")
    assert run.status == 0, run.err
    (line,) = [line for line in run.out.splitlines() if " coffee " in line]
    assert line.split()[:3] == ["✓", "coffee", "food"]
    assert 'picture: none without matplotlib; pip install "exeunt[demo]"' in run.out
    assert not (tmp_path / "demo.png").exists()
    root = Path(__file__).parents[2]
    shipped = root / "src" / "exeunt" / "report" / "coffee.jpg"
    assert shipped.read_bytes() == (root / "docs" / "coffee.jpg").read_bytes()


def test_the_model_that_ships(exeunt: Exeunt, monkeypatch: pytest.MonkeyPatch) -> None:
    from exeunt.cli.demo import shipped_demo
    from exeunt.errors import ExeuntError

    names = ("mobilenetv2_050.everyday64", "rex_mobilenetv2_050.everyday64", "rex_x.toys")
    monkeypatch.setattr("exeunt.models.shipped_weights", lambda: dict.fromkeys(names))
    assert shipped_demo() == "rex_mobilenetv2_050.everyday64"
    monkeypatch.setattr("exeunt.models.shipped_weights", dict)
    with pytest.raises(ExeuntError, match="--model"):
        shipped_demo()
