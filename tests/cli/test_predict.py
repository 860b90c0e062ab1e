from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from exeunt.data import Transform, load_image
from exeunt.inference import infer
from exeunt.models import load_weights
from exeunt.policies import parse_policy

Exeunt = Callable[..., Any]


def answers(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("policy", [None, "consistency:2", "confidence:0.6", "full"])
def test_predictions_are_those_of_infer(
    policy: str | None, exeunt: Exeunt, weights: Path, images: Path
) -> None:
    files = sorted(images.glob("*/*.png"))
    net, info = load_weights(weights)
    transform = Transform.from_dict(info.transform)
    x = torch.stack([transform(load_image(file)) for file in files])
    expected = infer(net, x, parse_policy(policy or "consistency:1"))
    macs = [row.macs for row in net.exit_info(32)]
    option = ("--policy", policy) if policy else ()
    got = answers(exeunt("predict", weights, images, "--json", "--batch-size", 7, *option).out)
    assert [row["file"] for row in got] == [str(file) for file in files]
    assert [row["exit"] - 1 for row in got] == expected.exit_index.tolist()
    best = expected.logits.softmax(dim=1).max(dim=1)
    assert [row["class"] for row in got] == [info.class_names[i] for i in best.indices]
    assert [row["probability"] for row in got] == pytest.approx(best.values.tolist(), abs=1e-4)
    for row in got:
        assert row["macs"] == macs[row["exit"] - 1]
        assert row["full_macs"] == macs[-1]
        assert row["saving"] == 1 - row["macs"] / macs[-1]
        assert row["exits"] == 6
        assert row["policy"] == (policy or "consistency:1")
    assert policy == "full" or len({row["exit"] for row in got}) > 1, "some must leave early"
    assert list(got[0]) == [
        *("file", "class", "probability", "exit", "exits"),
        *("macs", "full_macs", "saving", "policy"),
    ]


def test_text(exeunt: Exeunt, weights: Path, images: Path) -> None:
    file = images / "waves" / "00.png"
    (row,) = answers(exeunt("predict", weights, file, "--json").out)
    run = exeunt("predict", weights, file)
    share = 100 * row["macs"] / row["full_macs"]
    assert run.out.split() == [
        *(str(file), row["class"], f"{100 * row['probability']:.1f}", "%"),
        *("exit", str(row["exit"]), "of", "6"),
        *(f"{share:.1f}", "%", "of", "the", "MACs"),
    ]
    assert run.err == ""


def test_top_classes_come_in_order(exeunt: Exeunt, weights: Path, images: Path) -> None:
    file = images / "waves" / "00.png"
    (row,) = answers(exeunt("predict", weights, file, "--json", "--top", 3).out)
    chances = [one["probability"] for one in row["top"]]
    assert chances == sorted(chances, reverse=True)
    assert sum(chances) == pytest.approx(1)
    assert {one["class"] for one in row["top"]} == {"dots", "noise", "waves"}
    assert row["class"] == row["top"][0]["class"]
    shown = exeunt("predict", weights, file, "--top", 3).out.split()
    assert [word for word in shown if word in ("dots", "noise", "waves")] == [
        one["class"] for one in row["top"]
    ]
    run = exeunt("predict", weights, file, "--top", 4)
    assert run.status == 2
    assert "--top 4" in run.err


def test_a_list_on_stdin(exeunt: Exeunt, weights: Path, images: Path) -> None:
    names = [images / "waves" / "03.png", images / "dots" / "01.png"]
    run = exeunt("predict", weights, "-", "--json", stdin="".join(f"{n}\n\n" for n in names))
    assert [row["file"] for row in answers(run.out)] == [str(name) for name in names]


def test_folders_are_searched_through(
    exeunt: Exeunt, weights: Path, images: Path, tmp_path: Path
) -> None:
    picture = (images / "waves" / "00.png").read_bytes()
    for name in ("b/2.PNG", "b/1.png", "a.png", ".hidden/3.png", "b/.4.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(picture)
    (tmp_path / "notes.txt").write_text("no image")
    run = exeunt("predict", weights, tmp_path, "--json")
    names = [Path(row["file"]).relative_to(tmp_path).as_posix() for row in answers(run.out)]
    assert names == ["a.png", "b/1.png", "b/2.PNG"]


def test_the_rest_goes_on_after_an_unreadable_image(
    exeunt: Exeunt, weights: Path, images: Path, tmp_path: Path
) -> None:
    bad, gone = tmp_path / "bad.png", tmp_path / "gone.png"
    bad.write_bytes(b"\x89PNG")
    good = images / "dots" / "00.png"
    run = exeunt("predict", weights, bad, good, gone, "--json", "--batch-size", 1)
    assert run.status == 1
    assert [row["file"] for row in answers(run.out)] == [str(good)]
    first, second = run.err.splitlines()
    assert first.startswith(f"exeunt: error: {bad}: a damaged or cut off PNG image")
    assert second.startswith(f"exeunt: error: {gone}: there is no such file")


def test_what_is_left_out_of_a_folder_is_said(
    exeunt: Exeunt, weights: Path, images: Path, tmp_path: Path
) -> None:
    shutil.copy(images / "dots" / "00.png", tmp_path / "a.png")
    (tmp_path / "b.heic").touch()
    (tmp_path / ".cache").mkdir()
    (tmp_path / "gone").symlink_to("nowhere")
    run = exeunt("predict", weights, tmp_path, "--json")
    assert run.status == 0
    assert [Path(row["file"]).name for row in answers(run.out)] == ["a.png"]
    assert run.err == (
        "exeunt: note: left out: 1 .heic (b.heic), 1 dangling link (gone), "
        "1 hidden folder (.cache)\n"
    )


def test_no_images_are_an_error(exeunt: Exeunt, weights: Path, tmp_path: Path) -> None:
    run = exeunt("predict", weights, tmp_path)
    assert run.status == 2
    assert "no images in this folder" in run.err
    run = exeunt("predict", weights, "-", stdin="\n")
    assert run.status == 2
    assert "no images" in run.err


def test_regression_has_a_value(exeunt: Exeunt, regression: Path, images: Path) -> None:
    files = sorted(images.glob("*/*.png"))
    net, info = load_weights(regression)
    transform = Transform.from_dict(info.transform)
    x = torch.stack([transform(load_image(file)) for file in files])
    expected = infer(net, x, parse_policy("consistency:1,eta=0.5"))
    got = answers(exeunt("predict", regression, images, "--json").out)
    values = expected.logits[:, 0].tolist()
    assert [row["value"] for row in got] == pytest.approx(values, rel=1e-3, abs=1e-3)
    assert [row["exit"] - 1 for row in got] == expected.exit_index.tolist()
    assert "class" not in got[0]
    assert f"{got[0]['value']:.4g}" in exeunt("predict", regression, files[0]).out


def test_compiled_stages_run_one_image_at_a_time(
    weights: Path, images: Path, exeunt: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `torch.compile` makes is a test of `exeunt.compiled`; here it makes what it is given."""
    seen = []

    def fake(module: torch.nn.Module, **settings: Any) -> torch.nn.Module:
        module.register_forward_pre_hook(lambda _, state: seen.append(len(state[0])))
        return module

    files = sorted((images / "dots").glob("*.png"))[:5]
    plain = exeunt("predict", weights, *files, "--json")
    monkeypatch.setattr(torch, "compile", fake)
    done = exeunt("predict", weights, *files, "--json", "--compile")
    assert done.status == 0, done.err
    assert set(seen) == {1}
    for one, other in zip(done.out.splitlines(), plain.out.splitlines(), strict=True):
        found, expected = json.loads(one), json.loads(other)
        assert found.pop("probability") == pytest.approx(expected.pop("probability"), abs=1e-5)
        assert found == expected
