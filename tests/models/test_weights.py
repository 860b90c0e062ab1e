from __future__ import annotations

import dataclasses
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from exeunt.errors import ExeuntError
from exeunt.models import (
    WeightsInfo,
    create_model,
    find_weights,
    load_weights,
    read_info,
    save_weights,
    shipped_weights,
)
from exeunt.ops import rex_block
from exeunt.training import TrainConfig
from exeunt.training.run import Run

INFO = WeightsInfo(
    architecture="rex_mobilenetv2_035",
    arguments={"num_classes": 3, "in_chans": 3, "exits": "paper", "exit_head": "pooled"},
    task="classification",
    class_names=["a", "b", "c"],
    transform={"image_size": [32, 32]},
    policy="full",
    metrics={},
    split={"seed": 0},
    calibration_hashes=[],
    data={"name": "made up", "fingerprint": "0", "licence": "none"},
    command="none",
    versions={},
)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_weights(
        tmp_path / "w.safetensors", create_model("rex_mobilenetv2_035", 3).state_dict(), INFO
    )
    return tmp_path / "w.safetensors"


def test_round_trip(saved: Path) -> None:
    torch.manual_seed(0)
    original = create_model("rex_mobilenetv2_035", 3).eval()
    net, info = load_weights(saved)
    assert info == dataclasses.replace(
        INFO, arguments=INFO.arguments | {"rex_form": rex_block.NETWORK_FORM}
    )
    assert not net.training
    x = torch.randn(2, 3, 32, 32)
    for mine, theirs in zip(net(x), original(x), strict=True):
        assert torch.equal(mine, theirs)
    assert [p.name for p in saved.parent.iterdir()] == ["w.safetensors"], "nothing is left behind"


def test_float16_halves_the_file_and_rounds_to_nearest(saved: Path, tmp_path: Path) -> None:
    net, info = load_weights(saved)
    half = tmp_path / "half.safetensors"
    save_weights(half, net.state_dict(), dataclasses.replace(info, storage="float16"))
    assert half.stat().st_size < 0.6 * saved.stat().st_size
    loaded, _ = load_weights(half)
    for name, tensor in net.state_dict().items():
        got = loaded.state_dict()[name]
        assert got.dtype == tensor.dtype
        if tensor.is_floating_point():
            assert torch.equal(got, tensor.half().float()), name
        else:
            assert torch.equal(got, tensor)


def test_create_model_with_weights(saved: Path) -> None:
    net = create_model("rex_mobilenetv2_035", weights=saved)
    assert net.num_classes == 3
    fresh = create_model("rex_mobilenetv2_035", num_classes=7, weights=saved)
    assert fresh.num_classes == 7
    same = torch.equal(
        fresh.stages[2].trunk[0].project.conv.weight, net.stages[2].trunk[0].project.conv.weight
    )
    assert same, "the trunk keeps its weights"
    for kwargs, message in (
        ({"in_chans": 1}, "in_chans=1"),
        ({"exits": "last"}, "exits='last'"),
        ({"width": 0.5}, "width=0.5"),
    ):
        with pytest.raises(ExeuntError, match=message):
            create_model("rex_mobilenetv2_035", weights=saved, **kwargs)
    with pytest.raises(ExeuntError, match="of rex_mobilenetv2_035, not of mobilenetv2"):
        create_model("mobilenetv2", weights=saved)


def test_missing_metadata_is_an_error(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "bare.safetensors")
    with pytest.raises(ExeuntError, match="no exeunt metadata"):
        load_weights(tmp_path / "bare.safetensors")


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "sprung",)  # type: ignore[return-value]

    trap = tmp_path / "trap.safetensors"
    trap.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ExeuntError, match="not a safetensors file"):
        load_weights(trap)
    torch.save({"x": torch.zeros(1)}, tmp_path / "torch.safetensors")
    with pytest.raises(ExeuntError, match="not a safetensors file"):
        load_weights(tmp_path / "torch.safetensors")
    assert not (tmp_path / "sprung").exists()


def rewritten(path: Path, **changes: object) -> str:
    values = json.loads(INFO.to_json()) | changes
    return json.dumps({k: v for k, v in values.items() if v != "drop"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "format 2; this exeunt reads 1"),
        ({"policy": "drop"}, "missing or unknown: policy"),
        ({"colour": "red"}, "missing or unknown: colour"),
        ({"architecture": "rex_mobilenetv2_050"}, "does not fit rex_mobilenetv2_050"),
    ],
)
def test_metadata_is_a_closed_schema(
    saved: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    net, _ = load_weights(saved)
    other = tmp_path / "other.safetensors"
    save_file(net.state_dict(), other, metadata={"exeunt": rewritten(saved, **changes)})
    with pytest.raises(ExeuntError, match=message):
        load_weights(other)


def test_unreadable_metadata(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "w.safetensors", metadata={"exeunt": "[1"})
    with pytest.raises(ExeuntError, match="exeunt metadata: not JSON"):
        read_info(tmp_path / "w.safetensors")


def test_a_failed_write_leaves_the_old_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full_disk(*args: object, **kwargs: object) -> None:
        Path(str(args[1])).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("exeunt.models.weights.save_file", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_weights(saved, {"x": torch.zeros(1)}, INFO)
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]


def test_find_weights(saved: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(ExeuntError, match="not a run folder, or one without a finished epoch"):
        find_weights(str(run))
    (run / "best.safetensors").write_bytes(saved.read_bytes())
    assert find_weights(str(run)) == run / "best.safetensors"
    assert find_weights(str(saved)) == saved
    for missing in ("runs/nothing", "nothing.safetensors"):
        with pytest.raises(ExeuntError, match="no such run folder or weights file"):
            find_weights(missing)


def stored_form(path: Path, **form: Any) -> torch.Tensor:
    """Weights of a network, and its last scores for an image of ones."""
    torch.manual_seed(0)
    net = create_model("rex_mobilenetv2_035", 3, **form).eval()
    save_weights(path, net.state_dict(), dataclasses.replace(INFO, arguments=INFO.arguments | form))
    scores: torch.Tensor = net(torch.ones(1, 3, 32, 32))[-1]
    return scores


def without_form(path: Path) -> None:
    """Makes a file what it was before networks had a form."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    (key,) = [key for key, text in metadata.items() if '"architecture"' in text]
    values = json.loads(metadata[key])
    assert values["arguments"].pop("rex_form") == "paper"
    save_file(load_file(path), path, metadata | {key: json.dumps(values)})


@pytest.mark.parametrize("later", ["paper", "mingru"])
@pytest.mark.parametrize("now", ["paper", "mingru"])
def test_files_keep_the_form_of_their_day(
    now: str, later: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rex_block, "NETWORK_FORM", now)
    expected = stored_form(tmp_path / "w.safetensors")
    monkeypatch.setattr(rex_block, "NETWORK_FORM", later)
    net, info = load_weights(tmp_path / "w.safetensors")
    assert info.arguments["rex_form"] == now
    assert torch.equal(net(torch.ones(1, 3, 32, 32))[-1], expected)
    assert net.origin is not None
    assert net.origin[1]["rex_form"] == now


@pytest.mark.parametrize("later", ["paper", "mingru"])
def test_files_that_do_not_say_have_the_papers(
    later: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "w.safetensors"
    expected = stored_form(path, rex_form="paper")
    without_form(path)
    monkeypatch.setattr(rex_block, "NETWORK_FORM", later)
    net, info = load_weights(path)
    assert info.arguments["rex_form"] == "paper"
    assert torch.equal(net(torch.ones(1, 3, 32, 32))[-1], expected)
    for shipped in shipped_weights().values():
        load_weights(shipped)
        assert read_info(shipped).arguments["rex_form"] == "paper"


def test_runs_keep_the_form_of_their_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rex_block, "NETWORK_FORM", "mingru")
    record = {"config": TrainConfig(model="rex_mobilenetv2_035").to_dict(), "data": {}}
    assert record["config"]["model_args"] == {"rex_form": "mingru"}
    for said, meant in (({"rex_form": "mingru"}, "mingru"), ({}, "paper")):
        record["config"]["model_args"] = said
        (tmp_path / "run.json").write_text(json.dumps(record), encoding="utf-8")
        with Run(tmp_path) as run:
            begun = run.begun()
        assert begun is not None
        assert begun["config"]["model_args"] == {"rex_form": meant}
    assert TrainConfig(model="mobilenetv2").model_args == {}


def test_a_copy_of_a_network_has_its_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rex_block, "NETWORK_FORM", "mingru")
    mingru, paper = (
        create_model("rex_mobilenetv2_035", 3),
        create_model("rex_mobilenetv2_035", 3, rex_form="paper"),
    )
    assert mingru.exit_info(64)[0].macs < paper.exit_info(64)[0].macs
    monkeypatch.setattr(rex_block, "NETWORK_FORM", "paper")
    for net in (mingru, paper):
        assert net.origin is not None
        name, arguments = net.origin
        again = create_model(name, **arguments)
        again.load_state_dict(net.state_dict())
