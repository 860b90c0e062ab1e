"""The kernels' way into a network: the same answers as onnxruntime's, or none."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exeunt.data import Transform
from exeunt.export.onnx import OnnxModel, write_onnx, write_stages
from exeunt.export.onnx.int8 import kept_modules, quantize_stages
from exeunt.export.onnx.stem import stem_of
from exeunt.graph import Graph, build_graph
from exeunt.models import create_model
from exeunt.native import SIMD, in_use, native
from exeunt.native.stem import Stem
from exeunt.net import MultiExitNet
from exeunt.ops.conv import ConvNormAct
from exeunt.ops.rex import ReX2d
from exeunt.policies import parse_policy
from exeunt.runner import RunnerError, StagedModel

KERNELS = native()
needs_kernels = pytest.mark.skipif(KERNELS is None, reason=f"kernels: {in_use()}")
THERE = [name for n, name in enumerate(SIMD) if KERNELS and KERNELS.library.exeunt_has(n)]

Lively = Callable[[MultiExitNet, Tensor], MultiExitNet]
Chained = Callable[..., MultiExitNet]


SIZE = (66, 58)


@pytest.fixture(scope="module", params=["paper", "all"])
def graph(request: pytest.FixtureRequest, lively: Lively) -> Graph:
    """A network with images that tell its exits apart; with `all`, one of them right after ReX."""
    torch.manual_seed(0)
    net = create_model("rex_mobilenetv2_035", num_classes=5, exits=request.param)
    return build_graph(lively(net, torch.randn(8, 3, *SIZE)), SIZE)


def exported(graph: Graph, folder: Path, **more: Any) -> Path:
    names = [f"class {k}" for k in range(5)]
    policy = parse_policy("confidence:0.6")
    write_onnx(OnnxModel("net", graph, Transform(SIZE), names, policy, "f" * 16, **more), folder)
    return folder


@pytest.fixture(scope="module")
def folder(graph: Graph, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(graph, tmp_path_factory.mktemp("float32") / "net")


@pytest.fixture(scope="module")
def int8(graph: Graph, tmp_path_factory: pytest.TempPathFactory) -> Path:
    images = [torch.randn(8, 3, *SIZE).numpy()]
    stages = quantize_stages(graph, write_stages(graph, {}), images)
    place = tmp_path_factory.mktemp("int8") / "net"
    return exported(graph, place, int8=stages, kept=kept_modules(graph))


@needs_kernels
@pytest.mark.parametrize("images", [1, 12])
def test_answers_are_those_of_onnxruntime(
    folder: Path, images: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = np.random.default_rng(0).normal(0, 1, (images, 3, *SIZE)).astype(np.float32)
    ours = StagedModel(folder, threads=1)
    plain = without_kernels(folder, monkeypatch)
    assert kind(ours) == "StemSession"
    expected = plain.forward(batch)  # scores of up to 30
    np.testing.assert_allclose(ours.forward(batch) / 30, expected / 30, rtol=0, atol=1e-4)
    taken, wanted = ours.predict(batch), plain.predict(batch)
    assert np.array_equal(taken.exit_index, wanted.exit_index)
    assert np.array_equal(taken.class_index, wanted.class_index)
    assert taken.rows == wanted.rows


def without_kernels(folder: Path, monkeypatch: pytest.MonkeyPatch) -> StagedModel:
    monkeypatch.setenv("EXEUNT_NATIVE", "0")
    plain = StagedModel(folder, threads=1)
    assert kind(plain) == "OnnxRuntime"
    return plain


def kind(model: StagedModel) -> str:
    return type(model.chain.stages[0].session).__name__


@needs_kernels
def test_int8_goes_on_from_float32(
    folder: Path, int8: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number that lies between two steps may be rounded the other way: no more than that."""
    batch = np.random.default_rng(0).normal(0, 1, (12, 3, *SIZE)).astype(np.float32)
    ours = StagedModel(int8, threads=1)
    assert kind(ours) == "StemSession"
    found, floats = ours.forward(batch), StagedModel(folder, threads=1).forward(batch)
    expected = without_kernels(int8, monkeypatch).forward(batch)
    assert np.abs(found - expected).mean() < np.abs(floats - expected).mean() / 20


def test_int8_recurrences_leave_no_front(graph: Graph, tmp_path: Path) -> None:
    images = [torch.randn(8, 3, *SIZE).numpy()]
    stages = quantize_stages(graph, write_stages(graph, {}), images, recurrent=True)
    place = exported(graph, tmp_path / "net", int8=stages)
    assert "stem" not in json.loads((place / "manifest.json").read_text())["stages"][0]
    assert not list(place.glob("*rest*"))


@needs_kernels
@pytest.mark.parametrize("part", ["weights", "rest"])
def test_files_that_were_changed_are_refused(
    folder: Path, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stem = json.loads((folder / "manifest.json").read_text())["stages"][0]["stem"]
    file = folder / stem[part]["file"]
    kept = file.read_bytes()
    try:
        file.write_bytes(kept[:-1] + b"x")
        with pytest.raises(RunnerError, match=f"{file.name}: not the file that was exported"):
            StagedModel(folder)
        file.unlink()
        with pytest.raises(RunnerError, match=f"{file.name}: cannot be read"):
            StagedModel(folder)
        monkeypatch.setenv("EXEUNT_NATIVE", "0")  # who has no kernels needs none of it
        StagedModel(folder)
    finally:
        file.write_bytes(kept)


def test_the_script_needs_no_exeunt(folder: Path) -> None:
    code = (
        "import sys; sys.modules['exeunt'] = None; sys.path.insert(0, sys.argv[1]); import run\n"
        "model = run.StagedModel(sys.argv[1], threads=1)\n"
        "print(type(model.chain.stages[0].session).__name__)"
    )
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout == "OnnxRuntime\n"


def test_other_networks_have_no_front(chained: Chained) -> None:
    plain = create_model("mobilenetv2_035", num_classes=5)
    assert stem_of(build_graph(plain, (32, 32))) is None
    silu = chained(
        3, [(ConvNormAct(3, 8, 3, stride=2, act=nn.SiLU), 8), (ReX2d(8, 4, 2, 4, 2), 16)], ()
    )
    assert stem_of(build_graph(silu, (32, 32))) is None


LAYERS: dict[str, tuple[nn.Conv2d, ReX2d, tuple[int, int]]] = {
    "lstm": (nn.Conv2d(3, 5, 3, 2, 1), ReX2d(5, 4, 3, 4, 3, cell="lstm"), (31, 44)),
    "rnn": (nn.Conv2d(1, 5, (2, 5), (3, 1), (0, 2)), ReX2d(5, 4, 3, 2, 3, cell="rnn"), (31, 44)),
    "fastgrnn": (
        nn.Conv2d(4, 7, 7, 2, 3, bias=False),
        ReX2d(7, 4, 3, 6, 4, "replicate_out", "fastgrnn", shared_directions=True, use_global=False),
        (64, 61),
    ),
    "mingru": (nn.Conv2d(3, 5, 3, 2, 1), ReX2d(5, 4, 3, 4, 3, cell="mingru"), (31, 44)),
    "gru": (nn.Conv2d(2, 9, 1, 4), ReX2d(9, 4, 3, (3, 2), (1, 2), 1, use_rows=False), (40, 50)),
    "global": (
        nn.Conv2d(3, 4, 3, padding=1),
        ReX2d(4, 3, 2, 5, 5, use_rows=False, use_cols=False),
        (20, 21),
    ),
}


@needs_kernels
@pytest.mark.parametrize("simd", THERE)
@pytest.mark.parametrize("act", [None, nn.ReLU, nn.ReLU6])
@pytest.mark.parametrize("name", LAYERS)
def test_any_front(
    name: str,
    act: type[nn.Module] | None,
    simd: str,
    chained: Chained,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    conv, rex, size = LAYERS[name]
    begin = nn.Sequential(conv, *([] if act is None else [act()]))
    net = chained(conv.in_channels, [(begin, conv.out_channels), (rex, rex.out_channels)], ())
    stem = stem_of(build_graph(net.eval(), size))
    assert stem is not None
    monkeypatch.setenv("EXEUNT_NATIVE", simd)
    kernels = native()
    assert kernels is not None
    x = 2 * torch.randn(3, conv.in_channels, *size)
    ours = Stem(kernels, json.loads(json.dumps(stem.says)), stem.weights, 1).run(x.numpy())
    bounds = {None: lambda y: y, nn.ReLU: F.relu, nn.ReLU6: F.relu6}
    expected = rex(bounds[act](conv(x)))  # with gradients: torch's own operators
    np.testing.assert_allclose(ours, expected.detach().numpy(), rtol=0, atol=1e-5)


@needs_kernels
@pytest.mark.parametrize("images", [1, 3])
def test_threads_change_nothing(images: int, chained: Chained) -> None:
    torch.manual_seed(0)
    net = chained(3, [(ConvNormAct(3, 8, 3, stride=2), 8), (ReX2d(8, 6, 4, 5, 3), 32)], ())
    stem = stem_of(build_graph(net.eval(), (400, 380)))
    assert stem is not None
    assert KERNELS is not None
    x = np.random.default_rng(0).normal(0, 1, (images, 3, 400, 380)).astype(np.float32)
    one, four = (Stem(KERNELS, stem.says, stem.weights, threads).run(x) for threads in (1, 4))
    assert np.array_equal(one, four)


@needs_kernels
def test_sizes_that_do_not_fit_are_refused(chained: Chained) -> None:
    net = chained(3, [(ConvNormAct(3, 8, 3, stride=2), 8), (ReX2d(8, 4, 2, 4, 2), 16)], ())
    stem = stem_of(build_graph(net.eval(), (32, 32)))
    assert stem is not None
    assert KERNELS is not None
    for part, name, value in (
        *(("conv", "outputs", 9), ("rex", "hidden1", 5)),
        *(("rex", "down", [17, 1, 4, 2, 8, 0]), ("conv", "across", [32, 1, 3, 0, 16, 0])),
    ):
        says = {**stem.says, part: {**stem.says[part], name: value}}
        with pytest.raises(ValueError, match=r"shape|another size|no axis"):
            Stem(KERNELS, says, stem.weights)
    with pytest.raises(ValueError, match="images must be"):
        Stem(KERNELS, stem.says, stem.weights).run(np.zeros((1, 3, 32, 31), np.float32))
