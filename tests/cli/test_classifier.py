"""One object, two doors: what Python gives is what the command line gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import exeunt as library
from exeunt import Classifier, Confidence, ExeuntError
from exeunt.data import Transform
from exeunt.net import MultiExitNet, Stage
from exeunt.ops.exits import PooledExit

Exeunt = Callable[..., Any]


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_predict_says_what_the_command_says(exeunt: Exeunt, weights: Path, images: Path) -> None:
    files = sorted(images.glob("*/*.png"))
    clf = library.load(weights)
    told = lines(exeunt("predict", weights, images, "--json", "--top", 2).out)
    assert [answer.to_dict() for answer in clf.predict([*files], top=2)] == told
    alone = clf.predict(files[3])
    assert (alone.label, alone.exit, alone.file) == (
        told[3]["class"],
        told[3]["exit"],
        str(files[3]),
    )
    assert alone.saving == pytest.approx(told[3]["saving"])


def test_images_may_be_files_pictures_or_bytes(weights: Path, images: Path) -> None:
    file = images / "waves" / "03.png"
    picture = Image.open(file)
    forms = [file, str(file), picture, np.asarray(picture)]
    found = library.load(weights).predict(forms, policy=Confidence(0.5))
    assert len({(one.label, one.probability, one.exit) for one in found}) == 1
    assert [one.file for one in found] == [str(file), str(file), None, None]
    assert found[0].policy == "confidence:0.5"
    with pytest.raises(ExeuntError, match=r"float32 and shape \(4, 4, 3\); give uint8"):
        library.load(weights).predict(np.zeros((4, 4, 3), np.float32))


def test_calibrate_gives_another_with_the_guarantee(
    exeunt: Exeunt, weights: Path, images: Path, tmp_path: Path
) -> None:
    clf = library.load(weights)
    out = tmp_path / "c.safetensors"
    (told,) = lines(
        exeunt(
            *("calibrate", weights, images, "--max-accuracy-drop", 0.5, "--confidence", 0.6),
            *("--out", out, "--json"),
        ).out
    )
    by_data = clf.calibrate(images, max_accuracy_drop=0.5, confidence=0.6)
    by_table = clf.calibrate(
        clf.record(images, split="calibration"), max_accuracy_drop=0.5, confidence=0.6
    )
    for made in (by_data, by_table):
        assert made.calibration is not None
        assert made.calibration.guarantee is not None
        said = made.calibration.to_dict()
        assert said == {key: told[key] for key in said}
        assert made.info.policy_history == [clf.info.policy]
    assert clf.policy.spec == "consistency:1", "the first stays as it was"
    by_data.save(tmp_path / "mine.safetensors")
    assert library.load(tmp_path / "mine.safetensors").info == library.load(out).info
    with pytest.raises(ExeuntError, match="chosen on the test split"):
        clf.calibrate(clf.record(images), budget_fraction=0.9)


def test_evaluate_profile_and_report(
    exeunt: Exeunt, weights: Path, images: Path, tmp_path: Path
) -> None:
    clf = library.load(weights)
    told = lines(exeunt("eval", weights, images, "--json").out)
    found = clf.evaluate(images)
    assert found.run | {"model": str(weights)} == {k: v for k, v in told[0].items() if k != "kind"}
    assert found.lines[1:] == told[1:]
    assert clf.evaluate(clf.record(images)).lines[1:] == told[1:]

    (costs,) = lines(exeunt("profile", weights, "--convention", "streamed", "--json").out)
    mine = clf.profile(conventions=["streamed"]).to_dict()
    assert json.loads(json.dumps(mine)) | {"model": str(weights)} == costs

    clf.report(images, tmp_path / "mine.html")
    exeunt("report", weights, images, "--out", tmp_path / "told.html")
    assert (tmp_path / "mine.html").read_text() == (tmp_path / "told.html").read_text()


def test_exports_are_those_of_the_command(
    exeunt: Exeunt, weights: Path, images: Path, tmp_path: Path
) -> None:
    clf = library.load(weights)
    clf.export_c(tmp_path / "mine" / "net", calibration=images)
    exeunt("export", weights, "--calibration", images, "--out", tmp_path / "told" / "net")
    for name in ("net/src/net.c", "net/src/net.h", "report.json"):
        assert (tmp_path / "mine/net" / name).read_bytes() == (
            tmp_path / "told/net" / name
        ).read_bytes()
    clf.export_onnx(tmp_path / "mine" / "on", policy="confidence:0.7")
    exeunt(
        *("export", weights, "--target", "onnx", "--policy", "confidence:0.7"),
        *("--out", tmp_path / "told" / "on"),
    )
    read = [
        json.loads((tmp_path / who / "on/manifest.json").read_text()) for who in ("mine", "told")
    ]
    assert read[0] == read[1]
    with pytest.raises(ExeuntError, match="unknown argument 'budget'; one of budget_fraction"):
        clf.export_c(tmp_path / "no", budget=0.5)


def test_bench_measures_it(weights: Path) -> None:
    (row,) = library.load(weights).bench(["torch"], runs=2).rows
    assert row.engine == "torch"
    assert len(row.timing.low_ms) == 6
    with pytest.raises(ExeuntError, match="engine 'tensorrt': there are torch"):
        library.load(weights).bench(["tensorrt"])


def test_a_network_of_ones_own_loop(exeunt: Exeunt, images: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = library.create_model("mobilenetv2_035", num_classes=3, exits="last")
    names = ("dots", "noise", "waves")
    clf = Classifier(net, transform=Transform((32, 32)), class_names=names, data_name="shapes")
    clf.save(tmp_path / "own.safetensors")
    again = library.load(tmp_path / "own.safetensors")
    assert again.net.state_dict().keys() == net.state_dict().keys()
    assert again.info.arguments == {"num_classes": 3, "in_chans": 3, "exits": "last"}
    file = images / "waves" / "03.png"
    assert clf.predict(file).probability == again.predict(file).probability
    assert "shapes" in exeunt("info", tmp_path / "own.safetensors").out


def test_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    net = library.create_model("mobilenetv2_035", num_classes=3)
    with pytest.raises(ExeuntError, match="2 class names for a network of 3 outputs"):
        Classifier(net, transform=Transform((32, 32)), class_names=("a", "b"))
    with pytest.raises(ExeuntError, match="gives 1 channels, the network takes 3"):
        Classifier(net, transform=Transform((32, 32), mode="L"), class_names="abc")
    own = MultiExitNet([Stage(nn.Conv2d(3, 3, 1), PooledExit(3, 2))], 2)
    clf = Classifier(own, transform=Transform((8, 8)), class_names="ab")
    assert clf.predict(np.zeros((8, 8, 3), np.uint8)).label in ("a", "b")
    with pytest.raises(ExeuntError, match="register its builder"):
        clf.save(tmp_path / "no.safetensors")
    assert not (tmp_path / "no.safetensors").exists()


def test_it_is_shown_in_a_line(weights: Path) -> None:
    clf = library.load(weights)
    assert repr(clf) == (f"Classifier({weights}, 3 classes, 6 exits, 32 x 32 px, consistency:1)")


def test_train_gives_a_classifier_and_goes_on(images: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "model": "rex_mobilenetv2_035",
        "image_size": 32,
        "epochs": 1,
        "batch_size": 16,
    }
    clf = library.train(images, tmp_path / "run", **settings)
    assert clf.class_names == ["dots", "noise", "waves"]
    assert clf.info.metrics["test"]["samples"] > 0
    assert clf.predict(images / "waves" / "00.png") == library.load(tmp_path / "run").predict(
        images / "waves" / "00.png"
    )
    again = library.train(images, tmp_path / "run", resume=True, **settings)
    assert again.info == clf.info
    with pytest.raises(ExeuntError, match="unknown key 'epoch'"):
        library.train(images, tmp_path / "other", model="rex_mobilenetv2_035", epoch=1)
    assert not (tmp_path / "other").exists()


def test_verify_compares_an_export(
    exeunt: Exeunt, weights: Path, images: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "net"
    library.load(weights).export_c(folder, calibration=images)
    found = library.verify(folder, images, limit=4)
    (told,) = lines(exeunt("verify", folder, "--images", images, "--limit", 4, "--json").out)
    assert found.same_bits
    assert {"kind": "verified", "folder": str(folder), **found.to_dict()} == told
    assert list(found.to_dict()) == list(told)[2:]
    with pytest.raises(ExeuntError, match="are for ONNX folders"):
        library.verify(folder, images, engine="openvino")
