"""A batch of columns in, columns out: the same as image by image, in any engine's batches."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import exeunt
from exeunt.data import Transform
from exeunt.score.network import open_network
from exeunt.score.refill import run_refilled


@pytest.fixture(scope="module")
def files(images: Path) -> list[str]:
    return [str(path) for path in sorted(images.rglob("*.png"))]


@pytest.fixture(scope="module")
def answers(weights: Path, files: list[str]) -> list[exeunt.Answer]:
    """Of each image alone, by another way."""
    clf = exeunt.load(weights)
    found = [clf.predict(file) for file in files]
    assert len({answer.exit for answer in found}) > 2
    return found


def check(columns: dict[str, list[Any]], answers: list[exeunt.Answer]) -> None:
    assert columns["label"] == [answer.label for answer in answers]
    assert columns["exit"] == [answer.exit for answer in answers]
    assert columns["macs"] == [answer.macs for answer in answers]
    assert columns["probability"] == pytest.approx([a.probability for a in answers], abs=2e-4)
    assert columns["error"] == [""] * len(answers)


@pytest.mark.parametrize("size", [1, 4, 7, 64])
def test_paths_give_what_predict_gives_of_each_image(
    weights: Path, files: list[str], answers: list[exeunt.Answer], size: int
) -> None:
    columns = exeunt.Scorer(weights, batch_size=size)({"path": files})
    check(columns, answers)
    assert columns["class"] == [("dots", "noise", "waves").index(a.label or "") for a in answers]


@pytest.mark.parametrize("kind", ["bytes", "arrays", "pictures", "undecoded", "objects"])
def test_all_that_a_column_may_hold(
    weights: Path, files: list[str], answers: list[exeunt.Answer], kind: str
) -> None:
    content = [Path(file).read_bytes() for file in files]
    pictures = [Image.open(file) for file in files]
    column: Any = {
        "bytes": ("bytes", content),
        "arrays": ("image", np.stack([np.asarray(picture) for picture in pictures])),
        "pictures": ("image", pictures),
        "undecoded": ("image", [{"bytes": one, "path": None} for one in content]),
        "objects": ("bytes", np.array(content, dtype=object)),
    }[kind]
    check(exeunt.Scorer(weights)(dict([column])), answers)


def test_what_cannot_be_read_has_an_error_in_its_row(
    weights: Path, files: list[str], answers: list[exeunt.Answer]
) -> None:
    cut = Path(files[1]).read_bytes()[:60]
    column = [Path(files[0]).read_bytes(), cut, b"", None, Path(files[2]).read_bytes()]
    columns = exeunt.Scorer(weights, keep=["id"])({"bytes": column, "id": [*"abcde"]})
    assert columns["id"] == [*"abcde"]
    assert columns["label"] == [answers[0].label, "", "", "", answers[2].label]
    for name, nothing in (("class", -1), ("exit", 0), ("macs", 0)):
        assert columns[name][1:4] == [nothing] * 3
    assert all(math.isnan(columns["probability"][n]) for n in (1, 2, 3))
    texts = columns["error"]
    assert (texts[0], texts[4]) == ("", "")
    assert "damaged or cut off PNG" in texts[1]
    assert texts[2:4] == ["an image: an empty file", "an image: there is none"]


def test_logits_that_are_not_finite_are_an_error_of_their_row(
    weights: Path, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    network: Any = open_network(str(weights), "full")
    step = network.step

    def broken(k: int, state: list[Any]) -> Any:
        logits, after = step(k, state)
        if k == 0:
            logits = logits.clone()
            logits[1] = torch.inf
        return logits, after

    monkeypatch.setattr(network, "step", broken)
    columns = exeunt.Scorer(weights, "full")({"path": files[:3]})
    assert columns["error"] == ["", "exit 1: its logits are not finite", ""]
    assert columns["label"][1] == ""
    assert columns["exit"] == [6, 0, 6]


def test_a_scorer_is_sent_to_other_processes_without_the_network(weights: Path) -> None:
    scorer = exeunt.Scorer(weights, exeunt.Consistency(2), keep=["name"])
    scorer.open()
    sent = pickle.dumps(scorer)
    assert len(sent) < 1000 < weights.stat().st_size
    again = pickle.loads(sent)
    assert (again.policy, again.keep) == ("consistency:2", ("name",))
    assert again.open() is scorer.open()  # one network in a process


def test_weights_that_change_are_opened_anew(weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(weights.read_bytes())
    scorer = exeunt.Scorer(path)
    first = scorer.open()
    exeunt.load(weights).save(path)
    assert scorer.open() is not first


@pytest.mark.parametrize(
    ("arguments", "batch", "said"),
    [
        ({}, {"picture": []}, "no column of images among 'picture'"),
        ({"keep": ["id"]}, {"path": []}, "keep: no column 'id'"),
        ({}, {"image": [3.5]}, "an object of type float"),
    ],
)
def test_columns_that_cannot_be_used(
    weights: Path, arguments: dict[str, Any], batch: dict[str, Any], said: str
) -> None:
    with pytest.raises(exeunt.ExeuntError, match=said):
        exeunt.Scorer(weights, **arguments)(batch)


def test_arguments_that_cannot_be_used(weights: Path) -> None:
    with pytest.raises(exeunt.ExeuntError, match=r"give a list of columns: \['id'\]"):
        exeunt.Scorer(weights, keep="id")
    with pytest.raises(exeunt.ExeuntError, match="batch_size must be at least 1, not 0"):
        exeunt.Scorer(weights, batch_size=0)
    with pytest.raises(exeunt.ExeuntError, match="is for exported ONNX folders"):
        exeunt.Scorer(weights, engine="openvino").open()


def test_no_images_give_empty_columns(weights: Path) -> None:
    columns = exeunt.Scorer(weights)({"path": []})
    assert set(columns) == {"class", "label", "probability", "exit", "macs", "error"}
    assert not any(columns.values())


def test_regression_has_values(images: Path, files: list[str], tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = exeunt.create_model("mobilenetv2_035", num_classes=1)
    clf = exeunt.Classifier(net, transform=Transform((32, 32)))
    clf.save(tmp_path / "r.safetensors")
    columns = exeunt.Scorer(tmp_path / "r.safetensors")({"path": files[:2]})
    assert set(columns) == {"value", "exit", "macs", "error"}
    assert columns["value"] == pytest.approx([clf.predict(f).value for f in files[:2]], abs=2e-4)


def test_an_exported_folder_gives_the_same(
    weights: Path, files: list[str], answers: list[exeunt.Answer], tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    exeunt.load(weights).export_onnx(tmp_path / "net")
    for size in (3, 64):
        check(exeunt.Scorer(tmp_path / "net", batch_size=size)({"path": files}), answers)


class Counted:
    """A network of three exits that is plain arithmetic; who leaves is said by the image itself."""

    class_names: tuple[str, ...] = ()
    exit_macs = (1, 2, 3)

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def begin(self, images: list[Any]) -> list[Any]:
        return [np.stack(images)]

    def step(self, k: int, state: list[Any]) -> tuple[Any, list[Any]]:
        self.calls.append((k, len(state[0])))
        return state[0] * 10 + k, state

    def leave(self, k: int, logits: Any, memory: list[Any]) -> tuple[Any, list[Any]]:
        seen = memory[0] + 1 if memory else np.ones(len(logits))
        assert (seen == k + 1).all()  # the memory of a row goes with it
        return logits[:, 0] // 10 == k, [seen]

    def take(self, part: Any, rows: Any) -> Any:
        return part[rows]

    def join(self, parts: list[Any]) -> Any:
        return np.concatenate(parts)

    def numbers(self, logits: Any) -> Any:
        return logits.astype(np.float32)


@pytest.mark.parametrize("refill", [True, False])
def test_stages_run_on_batches_that_were_worked_out_by_hand(refill: bool) -> None:
    # Of every four images, one leaves at the first exit, one at the second and two at the last.
    leaves = [0, 1, 2, 2] * 4
    network: Any = Counted()
    read = 0

    def images() -> Iterator[tuple[int, Any]]:
        nonlocal read
        for number, k in enumerate(leaves):
            read += 1
            yield 100 + number, np.array([k])

    found = {}
    for left in run_refilled(network, images(), 4, refill):
        assert read - len(found) <= 3 * 4 + 3  # images are read as they are needed
        for number, logits in zip(left.numbers.tolist(), left.logits, strict=True):
            assert number not in found
            found[number] = left.exit_index
            assert logits.tolist() == [leaves[number - 100] * 10 + left.exit_index]
    assert [found[100 + number] for number in range(16)] == leaves
    of_stage = [[rows for stage, rows in network.calls if stage == k] for k in range(3)]
    if refill:  # 12 stay in after the first exit, 8 after the second: all batches are full
        assert of_stage == [[4] * 4, [4] * 3, [4] * 2]
    else:
        assert of_stage == [[4] * 4, [3] * 4, [2] * 4]
