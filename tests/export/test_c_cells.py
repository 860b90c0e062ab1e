"""ReX with each kind of cell, and the batch norm behind it, on the host and on devices."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from exeunt.data import Transform
from exeunt.export.c import CModel, Float32, Int8, build_host, run_device, run_host, write_c
from exeunt.export.c.boards import can_emulate
from exeunt.export.c.host import CHECKED, STRICT, ExitAnswer, run_self_test, run_tool
from exeunt.export.c.numbers import Numbers
from exeunt.export.c.shape import CLASSIFY, Shape
from exeunt.graph import Graph, build_graph, plan_stream
from exeunt.net import MultiExitNet
from exeunt.ops.rex import ReX2d
from exeunt.policies import parse_policy
from exeunt.quantize import IntegerPolicy, observe_ranges, quantize, run_quantized

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")

SHAPE = 3, 15, 22
HAS_DEVICE = can_emulate("cortex-m4")
HAS_AARCH64 = all(map(shutil.which, ("aarch64-linux-gnu-gcc", "qemu-aarch64")))

Cells = tuple[str, str, str]
Make = Callable[[Cells], tuple[Graph, Tensor, np.ndarray]]


@pytest.fixture(scope="module")
def make(chained: Callable[..., MultiExitNet], lively: Any, images: Any) -> Make:
    """From kinds of cells to a graph, and images for it. States have sizes that no block of a
    kernel divides, and norms turn some channels round and take others away. GRU and LSTM are as
    large as kernels do, and the second LSTM is open for more steps than its memory counts.
    """

    def graph_of(cells: Cells) -> tuple[Graph, Tensor, np.ndarray]:
        torch.manual_seed(0)
        units = {"gru": (32, 22), "lstm": (24, 16)}.get(cells[1], (5, 3))
        variants = [ReX2d(3, 6, 2, 6, 2, cell=cells[0])]
        at = variants[0].out_channels
        variants += [
            ReX2d(at, *units, (3, 2), 1, "replicate_out", cells[1], shared_directions=True)
        ]
        at = variants[1].out_channels
        size, cell = (2, 11 if cells[2] == "lstm" else 2), cells[2]
        variants += [ReX2d(at, 10, 1, size, 3, 1, cell, use_cols=False)]
        if cell == "lstm":
            with torch.no_grad():
                variants[2].rnn1.bias_ih_l0.view(4, 10)[:, :2] = 12
        channels = [rex.out_channels for rex in variants]
        links = [
            (nn.Sequential(rex, nn.BatchNorm2d(c)), c)
            for rex, c in zip(variants, channels, strict=True)
        ]
        pixels = images(3, SHAPE)
        transform = Transform(SHAPE[1:])
        inputs = torch.stack([transform.normalise_pixels(image) for image in pixels])
        net = lively(chained(3, links, (0, 1)), inputs)
        with torch.no_grad():
            for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
                norm.weight[::3] *= -1
                norm.weight[1] = 0
        return build_graph(net, SHAPE[1:]), inputs, pixels

    return graph_of


def write(graph: Graph, numbers: Numbers, pixels: np.ndarray, place: Path) -> None:
    """The folder `net`, and the file `images`."""
    plan = plan_stream(graph, numbers.element_bytes)
    assert sum(node.operator.kind == "Affine" for node in plan.graph.nodes) == 0
    names = [f"class {k}" for k in range(5)]
    write_c(CModel("net", "", numbers, plan, Transform(SHAPE[1:]), names, {}), place / "net")
    (place / "images").write_bytes(pixels.tobytes())


GRU, MINGRU = ("gru", "gru", "gru"), ("mingru", "mingru", "mingru")
FASTGRNN, LSTM = ("mingru", "fastgrnn", "mingru"), ("rnn", "lstm", "lstm")


@pytest.mark.parametrize("cells", [GRU, MINGRU, LSTM], ids="-".join)
def test_integers_are_those_of_python(cells: Cells, make: Make, tmp_path: Path) -> None:
    graph, inputs, pixels = make(cells)
    quantized = quantize(graph, observe_ranges(graph, [inputs]))
    write(graph, Int8(quantized, IntegerPolicy()), pixels, tmp_path)
    wanted = [
        [*map(str, scores[k].tolist())]
        for k in range(len(pixels))
        for scores in run_quantized(quantized, inputs)
    ]
    assert len({*map(tuple, wanted)}) == len(wanted) == 9
    for form in ((), ("-DEXN_PLAIN",)):
        build_host(tmp_path / "net", tmp_path / "program", (*CHECKED, *form))
        answers = run_host(tmp_path / "program", tmp_path / "images")
        assert [[*answer.scores] for answer in answers] == wanted
    if HAS_DEVICE:
        run = run_device(tmp_path / "net", "net", tmp_path / "images", len(pixels))
        assert [[*answer.scores] for answer in run.answers] == wanted


@pytest.mark.parametrize("cells", [FASTGRNN, LSTM], ids="-".join)
def test_floats_are_those_of_pytorch_and_the_same_everywhere(
    cells: Cells, make: Make, tmp_path: Path
) -> None:
    """Nine digits tell floats apart."""
    graph, inputs, pixels = make(cells)
    write(graph, Float32(parse_policy("full")), pixels, tmp_path)
    build_host(tmp_path / "net", tmp_path / "program", CHECKED)
    found = list(run_host(tmp_path / "program", tmp_path / "images"))
    assert "passed" in run_self_test(tmp_path / "net", tmp_path / "test")
    assert_near(found, graph, inputs)
    build_host(tmp_path / "net", tmp_path / "fast", ("-O3",))
    assert list(run_host(tmp_path / "fast", tmp_path / "images")) == found
    if HAS_AARCH64:
        shape = Shape.read(tmp_path / "net")
        sources = [*shape.includes, *shape.sources(CLASSIFY)]
        program = str(tmp_path / "arm")
        run_tool(["aarch64-linux-gnu-gcc", *STRICT, "-O2", "-static", *sources, "-o", program])
        lines = run_tool(["qemu-aarch64", program, "--all", str(tmp_path / "images")])
        assert [ExitAnswer.read(line.split()) for line in lines.splitlines()] == found
    if HAS_DEVICE:
        run = run_device(tmp_path / "net", "net", tmp_path / "images", len(pixels))
        assert [*run.answers] == found


def assert_near(answers: list[ExitAnswer], graph: Graph, inputs: Tensor) -> None:
    """Within a ten-thousandth of the largest score of each exit."""
    with torch.no_grad():
        alive = {graph.image: inputs}
        for node in graph.nodes:
            taken = [alive[name] for name in node.inputs]
            alive[node.output] = node.operator.run(taken, node.constants)
    for k, stage in enumerate(graph.stages):
        mine = [[*map(float, a.scores)] for a in answers if a.exit_index == k]
        wanted = alive[stage.logits]
        within = 1e-4 * wanted.abs().max().item()
        torch.testing.assert_close(torch.tensor(mine), wanted, rtol=0, atol=within)
