"""What a page is refused for, and what goes into it."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from exeunt.cli import app
from exeunt.errors import ExeuntError
from exeunt.export.c.report import FILE, FORMAT
from exeunt.export.web import wasm
from exeunt.export.web.choices import Choices
from exeunt.export.web.export import check_page
from exeunt.export.web.page_part import FIRST, PARTS, live_page
from exeunt.page import PagePart, inert, part_text
from exeunt.policies import parse_policy
from exeunt.quantize.scale import Scale

NET = "rex_mobilenetv2_075.imagenette"


def run(*words: object) -> Any:
    return CliRunner().invoke(app, ["export", NET, "--target", "web", *map(str, words)])


@pytest.mark.parametrize("missing", [wasm.COMPILER, wasm.LINKER])
def test_without_a_compiler_the_packages_are_named(
    missing: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name == missing else f"/{name}")
    done = run("--out", tmp_path / "page.html", "--dtype", "float32")
    assert done.exit_code == 2
    assert f"there is no {missing}" in done.stderr
    assert "apt-get install clang lld" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_page_is_html(tmp_path: Path) -> None:
    done = run("--out", tmp_path / "page", "--dtype", "float32")
    assert done.exit_code == 2
    assert "ends in .html" in done.stderr
    check_page(Path("PAGE.HTM"))


@pytest.mark.parametrize(
    "option", ["--name=net", "--layout=make", "--single-file", "--quantize-rex"]
)
def test_options_of_other_targets_are_refused(option: str, tmp_path: Path) -> None:
    done = run("--out", tmp_path / "page.html", option)
    assert done.exit_code == 2
    assert option.split("=")[0] in done.stderr


@pytest.mark.skipif(
    not (shutil.which(wasm.COMPILER) and shutil.which(wasm.LINKER)), reason="needs clang and lld"
)
def test_int8_asks_for_images(tmp_path: Path) -> None:
    done = run("--out", tmp_path / "page.html")
    assert done.exit_code == 2
    assert "--calibration" in done.stderr


@pytest.mark.skipif(
    not (shutil.which(wasm.COMPILER) and shutil.which(wasm.LINKER)), reason="needs clang and lld"
)
def test_what_the_compiler_says_is_told(tmp_path: Path) -> None:
    place = tmp_path / "net" / "src"
    place.mkdir(parents=True)
    (place / "net.h").write_text("#error no network\n", encoding="utf-8")
    for name in ("net.c", "net_self_test.c"):
        (place / name).touch()
    said = dict.fromkeys(("dtype", "image_shape", "kernels", "memory", "version"), "")
    report = json.dumps({"format": FORMAT, "name": "net", **said})
    (tmp_path / FILE).write_text(report, encoding="utf-8")
    with pytest.raises(ExeuntError, match="no network"):
        wasm.build_wasm(tmp_path, "int8", 1, tmp_path / "net.wasm")


def test_choices_for_int8_are_integers_worked_out_by_hand() -> None:
    """One step of a score is ln 2 in logits: it halves, and the softness is 2^24."""
    scales = [Scale(math.log(2), 0), Scale(math.log(2) / 2, 0), Scale(1.0, 0)]
    kinds = {kind["name"]: kind for kind in Choices(3, scales).kinds(parse_policy("margin:0.25"))}
    assert list(kinds) == ["stored", "confidence", "margin", "consistency", "full"]
    (stored,) = kinds["stored"]["settings"]
    assert stored["margin"] == (16384, 16384)
    assert stored["confidence"] is None
    assert stored["softness"] == (2**24, 2**23)
    assert [one["patience"] for one in kinds["consistency"]["settings"]] == [1, 2]
    assert [one["spec"] for one in kinds["full"]["settings"]] == ["full"]
    confidence = kinds["confidence"]["settings"]
    assert confidence[50]["shown"] == "0.5"
    assert confidence[50]["confidence"] == (32768, 32768)
    assert confidence[-1]["confidence"] == (65536, 65536)


def test_choices_for_float32_are_the_levels_themselves() -> None:
    stored = parse_policy("confidence:0.75+consistency:2")
    (setting,) = Choices(4, None).kinds(stored)[0]["settings"]
    assert setting["confidence"] == [0.75] * 3
    assert setting["softness"] == [1.0] * 3
    assert setting["patience"] == 2
    assert json.loads(json.dumps(setting, allow_nan=False))["margin"] is None


def test_a_page_has_no_address_but_names_of_formats() -> None:
    """Nothing could be fetched, even without the policy that forbids it."""
    for name in PARTS:
        text = part_text("exeunt.export.web", "page", name)
        assert not re.search(r"https?:|//[a-z]+\.|\bfetch\(|XMLHttp|import\(|\bsrc=", text), name


def test_a_page_names_what_it_allows() -> None:
    part = PagePart("<p>here</p>", "p{}", "let part;", ("'wasm-unsafe-eval'",))
    text = live_page("a <b> page", part)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; ")
    assert policy[1].endswith("'wasm-unsafe-eval'")
    assert "<title>a &lt;b&gt; page" in text
    assert part_text("exeunt.export.web", "page", FIRST) in text
    assert "{{" not in text
    assert inert("</script>&") == "\\u003c/script\\u003e\\u0026"
