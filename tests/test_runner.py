"""The runner that needs no torch: the same pixels, the same decisions, and what it refuses."""

from __future__ import annotations

import ast
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from exeunt import runner
from exeunt.data import Transform, load_image
from exeunt.errors import ExeuntError
from exeunt.export.onnx import OnnxModel, write_onnx
from exeunt.graph import build_graph
from exeunt.inference import drive, infer
from exeunt.models import create_model
from exeunt.policies import parse_policy
from exeunt.runner import Preprocessing, RunnerError, StagedModel

SPECS = (
    "full",
    "confidence:0.4",
    "confidence:0.9/0.5/0.3,t=1.5/0.7/1",
    "confidence:inf/0.3",
    "margin:0.2",
    "margin:0.1,t=2.5",
    "entropy:1.2",
    "entropy:-inf/1.3/1.5/0.8",
    "consistency:1",
    "consistency:3",
    "consistency:1+confidence:0.4",
    "consistency:2+margin:0.1/0.2/0.3/0.1+entropy:1.5",
)


def by_hand(spec: str, stream: np.ndarray) -> np.ndarray:
    """Exits that the rows of a stream (E, N, K) take, as the runner decides."""
    policy, memory = runner.Policy(spec), []
    waiting, taken = np.arange(stream.shape[1]), np.full(stream.shape[1], len(stream) - 1)
    for k in range(len(stream) - 1):
        leave, memory = policy.observe(k, stream[k, waiting], memory)
        taken[waiting[leave]] = k
        waiting, memory = waiting[~leave], [part[~leave] for part in memory]
    return taken


@pytest.mark.parametrize("spec", SPECS)
def test_policies_decide_as_those_of_torch(spec: str) -> None:
    rng = np.random.default_rng(0)
    stream = rng.normal(0, 1.5, (6, 2000, 5)).astype(np.float32)
    stream[:, :50] = np.round(stream[:, :50])  # borderline
    assert_same(spec, stream)


@pytest.mark.parametrize("spec", ["full", "consistency:1,eta=0.5", "consistency:2,eta=1"])
def test_policies_of_values_too(spec: str) -> None:
    rng = np.random.default_rng(0)
    assert_same(spec, rng.normal(0, 1, (6, 500, 1)).astype(np.float32))


def assert_same(spec: str, stream: np.ndarray) -> None:
    logits = torch.from_numpy(stream)
    rows = torch.arange(stream.shape[1])

    def source(k: int, keep: torch.Tensor | None) -> torch.Tensor:
        nonlocal rows
        rows = rows if keep is None else rows[keep]
        return logits[k, rows]

    expected = drive(parse_policy(spec), len(stream), source).exit_index.numpy()
    assert np.array_equal(by_hand(spec, stream), expected)
    if spec != "full":
        assert len(set(expected.tolist())) > 1


@pytest.mark.parametrize(
    "spec",
    ["", "never", "confidence:2", "margin:", "entropy:-1", "consistency:0", "confidence:0.5,t=0"],
)
def test_what_is_no_policy(spec: str) -> None:
    with pytest.raises(RunnerError, match="is none of full"):
        runner.Policy(spec)


def test_policies_are_for_their_task() -> None:
    with pytest.raises(RunnerError, match="not for 1 output"):
        runner.Policy("confidence:0.5").observe(0, np.zeros((2, 1), np.float32), [])


@pytest.fixture(scope="module")
def net() -> Any:
    torch.manual_seed(0)
    made = create_model("rex_mobilenetv2_035", 3)
    for norm in (m for m in made.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        norm.momentum = 1.0
    with torch.no_grad():
        x = torch.randn(64, 3, 32, 32)
        made.train()(x)
        made.eval()
        for stage, logits in zip(made.stages, made(x), strict=True):
            (linear,) = (m for m in stage.exit.modules() if isinstance(m, torch.nn.Linear))
            linear.weight *= 1.5 / logits.std()
    return made


@pytest.fixture(scope="module")
def write(net: Any) -> Callable[..., Path]:
    graph = build_graph(net, 32)

    def make(folder: Path, **changes: Any) -> Path:
        settings = {
            "model": "tiny",
            "graph": graph,
            "transform": Transform((32, 32)),
            "class_names": ["a", "b", "c"],
            "policy": parse_policy("consistency:1"),
            "fingerprint": "f",
        }
        write_onnx(OnnxModel(**(settings | changes)), folder)
        return folder

    return make


@pytest.fixture(scope="module")
def folder(write: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("onnx") / "net")


def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (50, 37, 4), np.uint8)
    wide = rng.integers(0, 2**16, (20, 90), np.uint16)
    upside_down = Image.fromarray(noise[..., :3])
    upside_down.getexif()[0x0112] = 3
    return [
        Image.fromarray(noise[..., :3]),
        Image.fromarray(noise),
        Image.fromarray(noise[..., 0]),
        Image.fromarray(noise[..., 0]).convert("P"),
        Image.fromarray(wide),
        upside_down,
    ]


@pytest.mark.parametrize(
    "transform",
    [
        Transform((32, 32)),
        Transform((24, 48), interpolation="bicubic", crop_fraction=0.875),
        Transform((16, 40), mode="L"),
    ],
    ids=["square", "wide", "grey"],
)
def test_pixels_are_those_of_the_transform(transform: Transform) -> None:
    prepare = Preprocessing(transform.to_dict())
    for image in pictures():
        found = prepare.transform(image)
        assert found.shape == prepare.image_shape
        assert np.array_equal(found, transform(image).numpy())


def test_files_are_read_as_by_load_image(folder: Path, tmp_path: Path) -> None:
    model, transform = StagedModel(folder), Transform((32, 32))
    for suffix in ("png", "jpg", "webp", "bmp"):
        pictures()[0].save(tmp_path / f"x.{suffix}")
        expected = transform(load_image(tmp_path / f"x.{suffix}")).numpy()
        assert np.array_equal(model.load(tmp_path / f"x.{suffix}"), expected)


@pytest.mark.parametrize("spec", ["full", "consistency:1", "confidence:0.9", "margin:0.5,t=2"])
def test_who_leaves_where_and_with_what(folder: Path, net: Any, spec: str) -> None:
    x = torch.randn(40, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    found = StagedModel(folder, policy=spec).predict(x.numpy())
    expected = infer(net, x, parse_policy(spec))
    assert found.exit_index.tolist() == expected.exit_index.tolist()
    assert found.class_index.tolist() == expected.logits.argmax(1).tolist()
    assert found.rows == expected.rows
    assert np.abs(found.logits - expected.logits.numpy()).max() < 1e-4
    assert np.abs(found.probabilities - expected.logits.softmax(1).numpy()).max() < 1e-4
    assert spec == "full" or found.rows[-1] < 40


def test_the_stored_policy_is_the_one_that_decides(folder: Path) -> None:
    assert StagedModel(folder).policy.spec == "consistency:1"


def copied(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to)
    return to


def refused(folder: Path, *parts: str) -> None:
    with pytest.raises(RunnerError) as caught:
        StagedModel(folder)
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def test_a_missing_file_is_named(folder: Path, tmp_path: Path) -> None:
    other = copied(folder, tmp_path / "x")
    (other / "stage_3.onnx").unlink()
    refused(other, "stage_3.onnx: cannot be read")
    (other / "manifest.json").unlink()
    refused(other, "manifest.json: cannot be read")


def test_a_corrupt_file_is_named(folder: Path, tmp_path: Path) -> None:
    other = copied(folder, tmp_path / "x")
    data = bytearray((other / "stage_2.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (other / "stage_2.onnx").write_bytes(data)
    refused(other, "stage_2.onnx: not the file", "other contents")


def test_swapped_files_are_named(folder: Path, tmp_path: Path) -> None:
    other = copied(folder, tmp_path / "x")
    (other / "stage_2.onnx").rename(other / "x")
    (other / "stage_4.onnx").rename(other / "stage_2.onnx")
    (other / "x").rename(other / "stage_4.onnx")
    refused(other, "stage_2.onnx: not the file", "it is stage_4.onnx")


def lie(folder: Path, change: Callable[[Any], object], *honest: str) -> None:
    """Changes what the manifest says; afterwards its hash, or its seal too, are right again."""
    file = folder / "manifest.json"
    manifest = json.loads(file.read_text())
    first = folder / manifest["stages"][0]["file"]
    before = runner.seal(manifest)
    change(manifest)
    if "seal" in honest:
        data = first.read_bytes().replace(before.encode(), runner.seal(manifest).encode())
        first.write_bytes(data)
        for stage in manifest["stages"]:
            if stage["file"] == first.name:
                stage["sha256"] = hashlib.sha256(data).hexdigest()
    if "hash" in honest:
        manifest["sha256"] = runner.digest(manifest)
    file.write_text(json.dumps(manifest))


def edits(
    value: Any, at: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every place of a JSON value where a leaf stands, with another leaf of the same type."""
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from edits(part, (*at, key))
    elif isinstance(value, bool):
        yield at, not value
    elif isinstance(value, int | float):
        yield at, value + 1
    elif isinstance(value, str):
        yield at, value + "1"


def put(value: Any, at: tuple[str | int, ...], part: Any) -> None:
    for key in at[:-1]:
        value = value[key]
    value[at[-1]] = part


def test_no_field_of_a_manifest_can_be_changed(folder: Path, tmp_path: Path) -> None:
    """Whoever edits one and puts the hash right does not get other numbers."""
    other = copied(folder, tmp_path / "x")
    text = (other / "manifest.json").read_text()
    places = list(edits(json.loads(text)))
    assert len(places) > 100
    for at, part in places:
        lie(other, lambda manifest, at=at, part=part: put(manifest, at, part), "hash")
        if at != ("sha256",):
            refused(other)
        (other / "manifest.json").write_text(text)
    assert StagedModel(other).policy.spec == "consistency:1"


@pytest.mark.parametrize("name", ["../stage_1.onnx", "/dev/zero", "..", ".", "", "a\\b", "a\0b"])
def test_files_lie_in_the_folder(folder: Path, tmp_path: Path, name: str) -> None:
    other = copied(folder, tmp_path / "x")
    lie(other, lambda manifest: manifest["stages"][0].update(file=name), "hash")
    refused(other, "manifest.json: ", "is not the name of a file in its folder")


def test_what_never_ends_is_not_read(folder: Path, tmp_path: Path) -> None:
    for name in ("stage_1.onnx", "manifest.json"):
        other = copied(folder, tmp_path / name)
        (other / name).unlink()
        (other / name).symlink_to("/dev/zero")
        refused(other, f"{name}: not an ordinary file")


def test_an_edited_manifest_is_refused(folder: Path, tmp_path: Path) -> None:
    other = copied(folder, tmp_path / "x")
    lie(other, lambda manifest: manifest["class_names"].reverse())
    refused(other, "manifest.json: not as it was exported")
    (other / "manifest.json").write_text("{")
    refused(other, "manifest.json: not the manifest")
    (other / "manifest.json").write_text('{"format": 99}')
    refused(other, "manifest.json: format 99")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m["class_names"].append("d"), "do not fit its class names"),
        (lambda m: m["stages"].reverse(), "other than what stage_6.onnx was written with"),
        (lambda m: m["stages"][1]["outputs"][0].update(shape=[4]), "has {"),
        (lambda m: m["image"].update(shape=[3, 16, 32]), "image and transform"),
        (lambda m: m["stages"][0].update(passed_on=["nobody"]), "nobody"),
        (lambda m: m.pop("policy"), "policy"),
    ],
)
def test_a_manifest_that_lies_is_refused_even_with_its_hash(
    folder: Path, tmp_path: Path, change: Callable[[Any], object], said: str
) -> None:
    other = copied(folder, tmp_path / "x")
    lie(other, change, "seal", "hash")
    refused(other, "manifest.json: ", said)


def test_wrong_images_are_refused(folder: Path, tmp_path: Path) -> None:
    model = StagedModel(folder)
    for wrong in (np.zeros((0, 3, 32, 32)), np.zeros((2, 3, 32, 31)), np.zeros((3, 32, 32))):
        with pytest.raises(RunnerError, match="images must be an array of Nx3x32x32"):
            model.predict(wrong)
    (tmp_path / "no.jpg").write_bytes(b"\xff\xd8 no more")
    with pytest.raises(RunnerError, match=r"no\.jpg: not a readable image"):
        model.load(tmp_path / "no.jpg")


def test_a_folder_that_holds_something_else_stays(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds no ONNX export"):
        write(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["kept.txt"]


def test_it_is_imported_without_torch() -> None:
    code = "import sys; import exeunt.runner; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_copy_in_the_folder_stands_alone(folder: Path, tmp_path: Path) -> None:
    """It runs in a Python that finds neither torch nor exeunt, from any folder."""
    pictures()[0].save(tmp_path / "x.png")
    blocked = (
        "import runpy, sys; sys.modules['torch'] = sys.modules['exeunt'] = None; "
        "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    files = [str(tmp_path / "x.png"), str(tmp_path / "none.png")]
    done = subprocess.run(
        [sys.executable, "-c", blocked, str(folder / "run.py"), *files],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert "none.png: not a readable image" in done.stderr
    answer = json.loads(done.stdout)
    model = StagedModel(folder)
    taken = model.predict([model.load(files[0])])
    assert answer["class"] == model.class_names[taken.class_index[0]]
    assert answer["exit"] == taken.exit_index[0] + 1
    assert answer["probability"] == pytest.approx(float(taken.probabilities.max()), abs=1e-5)


def test_the_copy_is_all_of_the_runner(folder: Path) -> None:
    """Every name that the package has is in the one file, and means the same there."""
    said = subprocess.run(
        [sys.executable, "-c", "import run; print(*sorted(dir(run)))"],
        capture_output=True,
        text=True,
        cwd=folder,
        check=True,
    )
    assert set(runner.__all__) <= set(said.stdout.split())
    defined = [
        node.name
        for file in Path(runner.__file__).parent.glob("*.py")
        for node in ast.parse(file.read_text()).body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
    ]
    assert set(defined) <= set(said.stdout.split())
    assert len(defined) == len(set(defined)), "modules that are joined share a name"


def test_the_copy_takes_a_policy_and_refuses_what_is_none(folder: Path, tmp_path: Path) -> None:
    pictures()[0].save(tmp_path / "x.png")

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, str(folder / "run.py"), *options, str(tmp_path / "x.png")]
        return subprocess.run(words, capture_output=True, text=True)

    assert json.loads(run("--policy", "full", "--threads", "1").stdout)["exit"] == 6
    assert json.loads(run("--policy", "confidence:0").stdout)["exit"] == 1
    wrong = run("--policy", "never")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "'never' is none of full" in wrong.stderr


def test_stages_may_share_their_threads(folder: Path, tmp_path: Path) -> None:
    """In a process of their own: onnxruntime opens no other sessions there afterwards."""
    code = (
        "import sys, numpy as np; from exeunt.runner import StagedModel\n"
        "x = np.random.default_rng(0).normal(size=(4, 3, 32, 32))\n"
        "both = [StagedModel(sys.argv[1], 2, share=share).forward(x) for share in (0, 1)]\n"
        "assert np.abs(both[0] - both[1]).max() < 1e-5\n"
        "assert StagedModel(sys.argv[1], 2, share=True).num_exits == 6\n"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)


def test_logits_that_are_not_finite_name_exit_and_image(folder: Path) -> None:
    images = np.zeros((6, 3, 32, 32), np.float32)
    images[4, 0, 3, 3] = np.nan
    for at_once in (2, 16):
        model = StagedModel(folder, threads=1, at_once=at_once)
        with pytest.raises(RunnerError, match=r"exit 1: the logits of image 5 of 6 are not finite"):
            model.predict(images)
        with pytest.raises(RunnerError, match=r"exit 1: the logits of e\.png are not finite"):
            model.predict(images, [f"{letter}.png" for letter in "abcdef"])


def test_weights_that_are_not_finite_are_not_written(
    net: Any, write: Callable[..., Path], tmp_path: Path
) -> None:
    graph = build_graph(net, 32)
    node = next(node for node in graph.stages[1].nodes if "weight" in node.constants)
    node.constants["weight"].view(-1)[0] = np.inf
    with pytest.raises(ExeuntError, match=rf"tiny: {node.module}\.weight has 1 infinite of"):
        write(tmp_path / "net", graph=graph)
    assert not (tmp_path / "net").exists()
