"""Entropy, and consistency of values: C leaves where Python does, here and on a device."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from exeunt.chain import Block, chain
from exeunt.data import Transform
from exeunt.errors import ExeuntError
from exeunt.export.c import CModel, Float32, Int8, build_host, run_device, run_host, write_c
from exeunt.export.c.boards import can_emulate
from exeunt.export.c.host import ExitAnswer
from exeunt.export.c.numbers import Numbers
from exeunt.export.web.choices import Choices
from exeunt.graph import Graph, build_graph, plan_stream
from exeunt.net import MultiExitNet
from exeunt.ops.conv import ConvNormAct, init_conv_net
from exeunt.ops.exits import make_exit
from exeunt.policies import parse_policy
from exeunt.quantize import IntegerPolicy, QuantizedGraph, observe_ranges, quantize, run_quantized

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")

SHAPE, EXITS, IMAGES = (3, 20, 18), 4, 24
EMULATED = pytest.mark.skipif(
    not can_emulate("cortex-m4"), reason="needs qemu-system-arm and arm-none-eabi-gcc"
)
SPECS = {
    5: ("entropy:{0}/{1}/{2}", "entropy:{1}/-inf/{2},t=1.3+consistency:1"),
    1: ("consistency:1,eta={0}", "consistency:2,eta={1}"),
}

Leaving = Callable[..., list[int]]


class Net:
    """A net of 5 classes, or of one value, with images and what Python finds for them."""

    def __init__(self, outputs: int, lively: Any, images: Any) -> None:
        torch.manual_seed(2)
        widths = (3, 8, 8, 12, 12)
        blocks = [
            Block(f"block{k}", ConvNormAct(a, b, 3, 1 + k % 2), b)
            for k, (a, b) in enumerate(pairwise(widths))
        ]
        stages = chain(blocks, range(EXITS - 1), lambda _, c: make_exit("pooled", c, outputs))
        net = MultiExitNet(stages, outputs, 3)
        init_conv_net(net)
        self.outputs, self.pixels = outputs, images(IMAGES, SHAPE)
        self.transform = Transform(SHAPE[1:])
        made = [self.transform.normalise_pixels(image) for image in self.pixels]
        self.inputs = torch.stack(made)
        self.net = lively(net, self.inputs)
        self.graph: Graph = build_graph(self.net, SHAPE[1:])
        with torch.no_grad():
            self.scores: list[Tensor] = self.net(self.inputs)
        self.quantized: QuantizedGraph = quantize(
            self.graph, observe_ranges(self.graph, [self.inputs])
        )

    def spec(self, form: str) -> str:
        """With levels that about half of the images reach at each exit, none of them near one."""
        stacked = torch.stack(self.scores)
        if self.outputs == 1:
            found = (stacked[1:] - stacked[:-1]).abs()[..., 0]
        else:
            shares = stacked.softmax(-1)
            found = -(shares * shares.log()).sum(-1)[:-1]
        found = found.sort().values
        middle = IMAGES // 2
        return form.format(*((found[:, middle - 1] + found[:, middle]) / 2).tolist())

    def write(self, numbers: Numbers, spec: str, folder: Path) -> dict[str, Any]:
        names = [str(k) for k in range(self.outputs)] if self.outputs > 1 else []
        plan, facts = plan_stream(self.graph, numbers.element_bytes), {"policy": spec}
        return write_c(CModel("net", "", numbers, plan, self.transform, names, facts), folder)


@pytest.fixture(scope="module", params=[5, 1], ids=["classes", "values"])
def net(request: pytest.FixtureRequest, lively: Any, images: Any) -> Net:
    return Net(request.param, lively, images)


def numbers_of(net: Net, dtype: str, spec: str) -> Numbers:
    if dtype == "float32":
        return Float32(parse_policy(spec))
    scales = [net.quantized.logit_scale(k) for k in range(EXITS)]
    return Int8(net.quantized, IntegerPolicy.of(parse_policy(spec), scales))


def left_at(answers: Sequence[ExitAnswer]) -> list[int]:
    left: dict[int, int] = {}
    for answer in answers:
        if answer.leave:
            left.setdefault(answer.image, answer.exit_index)
    return [left[k] for k in range(IMAGES)]


def said(answers: Sequence[ExitAnswer]) -> list[Tensor]:
    """What C found, E tensors (N, K)."""
    rows = np.array([answer.scores for answer in answers], dtype=float)
    found = rows.reshape(IMAGES, EXITS, -1).swapaxes(0, 1)
    return [*torch.from_numpy(found)]


def check(
    net: Net, numbers: Numbers, spec: str, answers: Sequence[ExitAnswer], leaving: Leaving
) -> None:
    """Scores and exits are those of Python."""
    found, left = said(answers), left_at(answers)
    if isinstance(numbers, Int8):
        wanted = run_quantized(net.quantized, net.inputs)
        assert all(torch.equal(mine.int(), one) for mine, one in zip(found, wanted, strict=True))
        assert left == numbers.leaving.leave(wanted)[0].tolist()
    else:
        assert left == leaving(parse_policy(spec), [mine.float() for mine in found])
    assert len(set(left)) > 1, "a policy that tells no images apart"
    assert all(answer.class_index == 0 for answer in answers) or net.outputs > 1


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize("form", [0, 1])
def test_it_leaves_where_python_does(
    net: Net, dtype: str, form: int, leaving: Leaving, raw: Any, tmp_path: Path
) -> None:
    spec = net.spec(SPECS[net.outputs][form])
    numbers = numbers_of(net, dtype, spec)
    net.write(numbers, spec, tmp_path / "net")
    build_host(tmp_path / "net", tmp_path / "program", ("-O0",))
    answers = [*run_host(tmp_path / "program", raw(net.pixels))]
    check(net, numbers, spec, answers, leaving)


@EMULATED
@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_and_on_a_device(net: Net, dtype: str, leaving: Leaving, raw: Any, tmp_path: Path) -> None:
    spec = net.spec(SPECS[net.outputs][0])
    numbers = numbers_of(net, dtype, spec)
    net.write(numbers, spec, tmp_path / "net")
    run = run_device(tmp_path / "net", "net", raw(net.pixels), IMAGES)
    check(net, numbers, spec, run.answers, leaving)


def test_the_folder_says_what_it_counts_in(net: Net, tmp_path: Path) -> None:
    spec = {5: "entropy:0.5", 1: "consistency:2,eta=0.25"}[net.outputs]
    report = net.write(numbers_of(net, "float32", spec), spec, tmp_path / "net")
    header = (tmp_path / "net" / "net" / "src" / "net.h").read_text()
    assert json.loads((tmp_path / "net" / "report.json").read_text()) == report
    if net.outputs > 1:
        assert report["task"] == "classification"
        assert report["policy_units"] == {"entropy": "nats"}
        assert "entropy <= 0.5 nats (entropy: nats)" in header
        assert "5 classes" in header
    else:
        assert report["task"] == "regression"
        assert report["policy_units"]["eta"] == "the value's own"
        assert "2 agreements in a row (within 0.25)" in header
        assert "one value, 4 exits" in header
        assert "is worth in units of the value" in header


def test_a_page_has_entropy_and_refuses_values() -> None:
    (setting,) = Choices(3, None).kinds(parse_policy("entropy:0/-inf"))[0]["settings"]
    assert setting["perplexity"] == [1.0, 0.0]
    with pytest.raises(ExeuntError, match="a page shows classes, not values"):
        Choices(3, None).kinds(parse_policy("consistency:1,eta=0.5"))
