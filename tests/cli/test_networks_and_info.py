from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exeunt.cli.info import parse_size
from exeunt.errors import ExeuntError
from exeunt.models import WeightsInfo, create_model, list_models, load_weights
from exeunt.net import MultiExitNet
from exeunt.ops.rex_block import NETWORK_FORM, REX_FORMS


def test_list_names_every_network(exeunt: Callable[..., Any]) -> None:
    lines = exeunt("list").out.splitlines()
    after = lines.index("")
    assert [line.split()[0] for line in lines[1:after]] == list_models()
    assert [line.split()[0] for line in lines[after + 2 :]] == [*REX_FORMS]
    (default,) = [line for line in lines[after:] if line.endswith("of networks by default")]
    assert default.split()[0] == NETWORK_FORM
    assert "width=0.35" in next(line for line in lines if line.startswith("mobilenetv2_035 "))


def test_list_as_json(exeunt: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = {"rex_mobilenetv2_035.toys": Path("x"), "mobilenetv2_035.toys": Path("y")}
    monkeypatch.setattr("exeunt.models.shipped_weights", lambda: shipped)
    (record,) = map(json.loads, exeunt("list", "rex*_035", "--json").out.splitlines())
    assert record["name"] == "rex_mobilenetv2_035"
    assert record["weights"] == ["rex_mobilenetv2_035.toys"]
    assert record["description"].startswith("ReX-MobileNetV2")


def test_list_without_a_match(exeunt: Callable[..., Any]) -> None:
    run = exeunt("list", "resnext*")
    assert run.status == 2
    assert "'resnext*'" in run.err


def test_info_of_an_architecture(exeunt: Callable[..., Any]) -> None:
    net = create_model("rex_mobilenetv2_035")
    run = exeunt("info", "rex_mobilenetv2_035", "--image-size", "96x128", "--json")
    model, *exits = map(json.loads, run.out.splitlines())
    assert model["parameters"] == sum(p.numel() for p in net.parameters())
    assert [row["macs"] for row in exits] == [info.macs for info in net.exit_info((96, 128))]
    assert [row["exit"] for row in exits] == [1, 2, 3, 4, 5, 6]
    assert exits[5]["module"] == "stages.5.exit"


def test_info_names_the_modules_that_exits_stand_behind(
    exeunt: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def foreign(name: str, **arguments: Any) -> MultiExitNet:
        net = create_model("resnet8")
        net.origin = name, {"exits": ["layer1.0", "layer2"]}
        return net

    monkeypatch.setattr("exeunt.trained.create_model", foreign)
    assert "exits behind  layer1.0, layer2, and its end" in exeunt("info", "resnet8").out
    monkeypatch.undo()
    assert "exits behind" not in exeunt("info", "resnet8").out


def test_info_of_an_architecture_with_arguments(exeunt: Callable[..., Any], weights: Path) -> None:
    net = create_model("rex_mobilenetv2_035", rex_form={"cell": "mingru", "norm": True})
    given = ("--set", "rex_form.cell=mingru", "--set", "rex_form.norm=true")
    model, *exits = map(
        json.loads,
        exeunt(
            "info", "rex_mobilenetv2_035", *given, "--image-size", 64, "--json"
        ).out.splitlines(),
    )
    assert model["model"] == "rex_mobilenetv2_035 rex_form.cell=mingru rex_form.norm=true"
    assert [row["macs"] for row in exits] == [info.macs for info in net.exit_info(64)]
    for command in ("info", "profile", "bench"):
        run = exeunt(command, "rex_mobilenetv2_035", "--set", "rex_form.sell=gru")
        assert run.status == 2
        assert "form of ReX: unknown key 'sell'" in run.err
        run = exeunt(command, weights, "--set", "width=2")
        assert run.status == 2
        assert f"width: {weights} has weights, and its network is stored with them" in run.err


def test_info_shows_costs_of_224_pixels(exeunt: Callable[..., Any]) -> None:
    last = create_model("rex_mobilenetv2_100").exit_info(224)[-1]
    row = exeunt("info", "rex_mobilenetv2_100").out.splitlines()[-1].split()
    assert row[:4] == ["6", "stages.5.exit", "1280", "1/32"]
    assert " ".join(row[4:]) == f"{last.macs / 1e6:.2f} M 100.0 %"


def test_info_of_weights(exeunt: Callable[..., Any], weights: Path, info: WeightsInfo) -> None:
    net, _ = load_weights(weights)
    run = exeunt("info", weights, "--json")
    model, *exits = map(json.loads, run.out.splitlines())
    for key in ("class_names", "transform", "policy", "metrics", "data", "command"):
        assert model[key] == getattr(info, key)
    assert exits[-1]["macs"] == net.exit_info(32)[-1].macs
    shown = exeunt("info", weights).out
    for text in ("3: dots, noise, waves", "consistency:1", "made by the tests", "32 x 32 pixels"):
        assert text in shown
    assert shown.splitlines()[-1].split() == ["consistency:1", "62.5", "%", "12.5", "%"]


def test_info_of_a_run_folder(exeunt: Callable[..., Any], weights: Path, tmp_path: Path) -> None:
    (tmp_path / "best.safetensors").write_bytes(weights.read_bytes())
    run = exeunt("info", tmp_path, "--json")
    assert json.loads(run.out.splitlines()[0])["file"] == str(tmp_path / "best.safetensors")


def test_info_draws(exeunt: Callable[..., Any], weights: Path, tmp_path: Path) -> None:
    drawing = tmp_path / "net.svg"
    run = exeunt("info", weights, "--draw", drawing)
    assert run.status == 0
    assert f'<title id="t">{weights.name}</title>' in drawing.read_text(encoding="utf-8")
    assert "ReXBlock" in drawing.read_text(encoding="utf-8")


@pytest.mark.parametrize(("file", "status"), [("net.png", 2), ("file/net.svg", 1)])
def test_info_cannot_draw_there(
    file: str, status: int, exeunt: Callable[..., Any], weights: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    run = exeunt("info", weights, "--draw", tmp_path / file)
    assert run.status == status
    assert str(tmp_path / file.partition("/")[0]) in run.err


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ("rex_mobilenetv2_35", "rex_mobilenetv2_035"),
        ("no/such/run", "no such run folder"),
        ("gone.safetensors", "no such run folder or weights file"),
    ],
)
def test_info_of_nothing(model: str, text: str, exeunt: Callable[..., Any]) -> None:
    run = exeunt("info", model)
    assert run.status == 2
    assert text in run.err


def test_parse_size() -> None:
    assert parse_size("96") == (96, 96)
    assert parse_size("96x128") == (96, 128)


@pytest.mark.parametrize("text", ["", "x", "96x", "x96", "0", "96x0", "1.5", "-3", "1x2x3"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(ExeuntError, match="--image-size"):
        parse_size(text)
