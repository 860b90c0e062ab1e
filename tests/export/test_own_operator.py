"""`examples/own_operator`: an operator from outside, all the way to C and ONNX."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

import exeunt
from exeunt.data import Transform
from exeunt.errors import ExeuntError
from exeunt.export.c import CModel, Float32, Shape, build_host, run_host, write_c
from exeunt.export.c.boards import can_emulate
from exeunt.export.c.device import run_device
from exeunt.export.c.host import CHECKED
from exeunt.export.onnx import write_stages
from exeunt.graph import build_graph, plan_stream
from exeunt.graph.own import OWN
from exeunt.graph.plain_calls import REGISTERED
from exeunt.net import MultiExitNet
from exeunt.policies import parse_policy
from exeunt.quantize import observe_ranges, quantize

FILE = Path(__file__).parent.parent.parent / "examples" / "own_operator" / "group_norm.py"
SIZE = (13, 10)


@pytest.fixture(scope="module")
def example(script: Callable[[Path], ModuleType]) -> Iterator[ModuleType]:
    """The example, imported, and forgotten again."""
    yield script(FILE)
    OWN.remove("GroupNorm")
    REGISTERED.clear()


@pytest.fixture
def net(chained: Callable[..., MultiExitNet]) -> MultiExitNet:
    torch.manual_seed(0)
    norm = nn.GroupNorm(2, 6)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    block = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), norm, nn.SiLU())
    net = chained(3, [(block, 6), (nn.Conv2d(6, 5, 3), 5)], [0])
    for stage in net.stages:
        nn.init.normal_(stage.exit.classifier.weight)
    return net


def test_it_does_what_its_module_does(example: ModuleType) -> None:
    exeunt.check_operator(nn.GroupNorm(3, 9), (9, 5, 8))
    with pytest.raises(ExeuntError, match="becomes no registered operator, but Conv, Global"):
        exeunt.check_operator(nn.Conv2d(3, 4, 1))


def test_an_operator_that_does_something_else_is_found(
    example: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = lambda self, inputs, constants: inputs[0] * 2  # noqa: E731
    monkeypatch.setattr(example.GroupNorm, "run", wrong)
    with pytest.raises(ExeuntError, match=r"GroupNorm: its operator is .* off, run whole"):
        exeunt.check_operator(nn.GroupNorm(3, 9), (9, 5, 8))


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_c_says_what_torch_says(
    example: ModuleType, net: MultiExitNet, images: Any, raw: Any, tmp_path: Path
) -> None:
    pixels, transform = images(3, (3, *SIZE)), Transform(SIZE)
    graph = build_graph(net, SIZE)
    plan, names = plan_stream(graph, 4), [*"abcde"]
    numbers = Float32(parse_policy("full"))
    write_c(CModel("net", "", numbers, plan, transform, names, {}), tmp_path / "net")
    build_host(tmp_path / "net", tmp_path / "program", CHECKED)
    (mine,) = Shape.read(tmp_path / "net").own_sources
    places = ("CMakeLists.txt", "zephyr/CMakeLists.txt", "exeunt.net.pdsc", "../Makefile")
    for place in (*places, "../micropython/Makefile"):
        assert mine in (tmp_path / "net" / "net" / place).read_text(), place
    inputs = torch.stack([transform.normalise_pixels(image) for image in pixels])
    wanted = [logits.detach().numpy() for logits in net(inputs)]
    answers = list(run_host(tmp_path / "program", raw(pixels)))
    assert len(answers) == 2 * len(pixels)
    for answer in answers:
        scores = np.array([*map(float, answer.scores)])
        theirs = wanted[answer.exit_index]
        assert np.abs(scores - theirs[answer.image]).max() < 1e-5 * np.abs(theirs).max()
    if can_emulate("cortex-m4"):
        there = run_device(tmp_path / "net", "net", tmp_path / "images.raw", len(pixels))
        assert list(there.answers) == answers, "the same bits, in no more RAM than it claims"


def test_onnx_says_what_torch_says(example: ModuleType, net: MultiExitNet) -> None:
    x = torch.randn(4, 3, *SIZE)
    (stage, _) = write_stages(build_graph(net, SIZE), {})
    session = onnxruntime.InferenceSession(stage.model.SerializeToString())
    (logits,) = session.run([stage.logits], {"image": x.numpy()})
    assert np.abs(logits - net(x)[0].detach().numpy()).max() < 1e-5


def test_what_it_does_not_give_is_refused(example: ModuleType, net: MultiExitNet) -> None:
    graph = build_graph(net, SIZE)
    ranges = observe_ranges(graph, [torch.randn(2, 3, *SIZE)])
    with pytest.raises(ExeuntError, match=r"block0\.1: no integer form for GroupNorm; there are"):
        quantize(graph, ranges)


def test_what_cannot_be_registered() -> None:
    with pytest.raises(ExeuntError, match="'group_norm' is no ATen operator; one is"):
        exeunt.register_operator("group_norm")
    call = torch.ops.aten.cumsum.default
    with pytest.raises(ExeuntError, match=re.escape("is no class of exeunt.OwnOperator")):
        exeunt.register_operator(call)(nn.GroupNorm)  # type: ignore[type-var]
