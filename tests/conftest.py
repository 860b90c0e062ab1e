"""Graphs put together by hand, or by chance; programs that lie in no package."""

from __future__ import annotations

import importlib.util
import os
import random
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from exeunt.graph import Graph, Node, Operator, StageGraph
from exeunt.graph.boundary import again, later, movable, sources
from exeunt.graph.fuse import InvertedResidual, fuse
from exeunt.graph.operators import (
    ACTIVATIONS,
    Activation,
    Add,
    Affine,
    Composite,
    Concat,
    Conv,
    Flatten,
    GlobalAverage,
    GridPool,
    Linear,
    Lines,
    Mix,
    Multiply,
    Pad,
    ParametricReLU,
    Pool,
    Resize,
    Shuffle,
    Slice,
    Unflatten,
)
from exeunt.graph.recompute import with_recomputed
from exeunt.graph.streamed import Draft, StreamedPlan
from exeunt.ops.rex import ReX2d

KEPT: list[torch.library.Library] = []  # which forget what they define when they go


class Sketch:
    """Nodes, one by one; weights are random.

    Args:
        shape: of the image, (C, H, W).
    """

    def __init__(self, *shape: int) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {"image": shape}
        self.stages: list[tuple[list[Node], str]] = []
        self.nodes: list[Node] = []

    def add(self, operator: Operator, *inputs: str, **constants: Tensor) -> str:
        """Appends a node; returns its name, which says how many tensors there were."""
        name = f"t{len(self.shapes) - 1}"
        zeros = [torch.zeros(1, *self.shapes[source]) for source in inputs]
        self.shapes[name] = tuple(operator.run(zeros, constants).shape[1:])
        self.nodes.append(Node(operator, inputs, name, name, name, "Block", constants))
        return name

    def conv(
        self,
        source: str,
        out: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        dilation: int = 1,
        act: str | None = None,
    ) -> str:
        weight = torch.randn(out, self.shapes[source][0] // groups, kernel, kernel) / kernel**2
        sizes = [(size, size) for size in (kernel, stride, kernel // 2 * dilation, dilation)]
        operator = Conv(*sizes, groups=groups, act=act)
        return self.add(operator, source, weight=weight, bias=torch.randn(out))

    def affine(self, source: str, act: str | None = None) -> str:
        scale, shift = torch.randn(2, self.shapes[source][0])
        return self.add(Affine(act=act), source, scale=scale, shift=shift)

    def exit(self, source: str) -> str:
        """Appends an exit of two classes, which ends the stage."""
        pooled = self.add(GlobalAverage(), source)
        weight = torch.randn(2, self.shapes[pooled][0])
        logits = self.add(Linear(), pooled, weight=weight, bias=torch.randn(2))
        self.stages.append((self.nodes, logits))
        self.nodes = []
        return logits

    def graph(self) -> Graph:
        """Of the stages so far; a stage hands on what a later one reads."""
        stages: list[StageGraph] = []
        needed: set[str] = set()
        for nodes, logits in reversed(self.stages):
            stages.insert(0, StageGraph(tuple(nodes), logits, tuple(sorted(needed))))
            needed |= {name for node in nodes for name in node.inputs}
            needed -= {node.output for node in nodes}
        return Graph("image", tuple(stages), self.shapes)


@pytest.fixture(scope="session")
def torchvision() -> ModuleType:
    """torchvision, if it is installed; beside a build of torch that its operators are not made for
    too, with their names alone.
    """
    try:
        return import_module("torchvision")
    except ImportError:
        pytest.skip("torchvision is not installed")
    except RuntimeError:
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    plain = ("qnms", "roi_align", "qroi_align", "roi_pool", "ps_roi_align", "ps_roi_pool")
    backward = [f"_{name}_backward" for name in plain if not name.startswith("q")]
    for name in (*plain, *backward):
        library.define(f"{name}(Tensor x) -> Tensor")
    KEPT.append(library)
    return import_module("torchvision")


@pytest.fixture(scope="session")
def timm(torchvision: ModuleType) -> ModuleType:
    """timm, if it is installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("timm")


@pytest.fixture
def sketch() -> type[Sketch]:
    torch.manual_seed(0)
    return Sketch


KINDS = ["conv", "concat", "slice", "add"] * 2
KINDS += ["conv", "depthwise", "residual", "affine", "act", "mix", "rows", "pool", "resize", "pad"]
KINDS += ["grid", "dilated", "rex", "act", "grouped", "multiply", "squeeze", "slope", "shuffle"]
KINDS += ["lines", "same", "swish", "spread", "along"]


def grow(net: Sketch, maps: list[str], chance: random.Random) -> str:
    """Appends a node of some kind that reads what there is."""
    source = chance.choice(maps[-4:])
    channels, height, width = net.shapes[source]
    alike = [name for name in maps if net.shapes[name] == net.shapes[source]]
    beside = [name for name in maps if net.shapes[name][1:] == (height, width)]
    kind, act = chance.choice(KINDS), chance.choice((None, "relu", "relu6"))
    if kind == "conv":
        kernel, stride = chance.choice((1, 1, 3, 5)), chance.choice((1, 2))
        return net.conv(source, chance.randint(1, 19), kernel, stride, act=act)
    if kind == "dilated":
        return net.conv(source, chance.randint(1, 5), 3, dilation=2, act=act)
    if kind == "depthwise":
        kernel, stride = chance.choice((3, 5)), chance.choice((1, 2))
        return net.conv(source, channels, kernel, stride, groups=channels, act=act)
    if kind == "affine":
        scaled = net.affine(source, act)
        return net.conv(scaled, 3, chance.choice((1, 3))) if chance.random() < 0.6 else scaled
    if kind == "act":
        numbers = {"clip": ":-0.5:2.5", "leaky_relu": ":0.2", "elu": ":1.5", "softplus": ":1.5:2"}
        function = chance.choice(list(ACTIVATIONS))
        return net.add(Activation(function + numbers.get(function, "")), source)
    if kind == "add":
        alpha = chance.choice((1.0, 1.0, -1.0, 0.7))
        return net.add(Add(act=act, alpha=alpha), source, chance.choice(alike))
    if kind == "multiply":
        return net.add(Multiply(act=act), source, chance.choice(alike))
    if kind == "squeeze":
        line = (1, 1) if chance.random() < 0.7 else chance.choice(((1, width), (height, 1)))
        if line == (1, 1) and chance.random() < 0.5:
            means = net.add(Unflatten(), net.add(GlobalAverage(), source))
        else:
            average = GlobalAverage(keep=True) if line == (1, 1) else GridPool("average", line)
            means = net.add(average, source)
        function = chance.choice(("sigmoid", "hardsigmoid"))
        gate = net.add(Activation(function), net.conv(means, channels))
        pair = (gate, source) if chance.random() < 0.2 else (source, gate)
        return net.add(chance.choice((Multiply(), Multiply(), Add())), *pair)
    if kind == "spread":
        one = net.add(Activation("sigmoid"), net.conv(source, 1, chance.choice((1, 3))))
        pair = (one, source) if chance.random() < 0.3 else (source, one)
        return net.add(chance.choice((Multiply(), Add(alpha=-0.5))), *pair)
    if kind == "along":
        means = net.add(GlobalAverage(), source)
        if channels % 6 == 0 and chance.random() < 0.4:
            return net.add(Unflatten((2, 3)), means)
        row = net.add(Unflatten((1, channels)), means)
        weight = torch.randn(1, 1, 1, 3)
        gate = net.add(Conv((1, 3), padding=(0, 1)), row, weight=weight, bias=torch.randn(1))
        gate = net.add(Flatten(), net.add(Activation("sigmoid"), gate))
        return net.add(Multiply(), source, net.add(Unflatten(), gate))
    if kind == "slope":
        return net.add(ParametricReLU(), source, slope=torch.randn(channels).clamp(-1.5, 1.5))
    if kind == "shuffle" and channels > 1:
        order = chance.sample(range(channels), chance.randint(1, channels))
        return net.add(Shuffle(tuple(order)), source)
    if kind == "lines":
        down = [chance.randrange(height) for _ in range(chance.randint(1, 9))]
        across = [chance.randrange(width) for _ in range(chance.randint(1, 9))]
        return net.add(Lines(tuple(sorted(down)), tuple(across)), source)
    if kind == "grouped":
        groups = chance.choice([n for n in range(1, channels + 1) if channels % n == 0])
        settings = {"dilation": 2} if chance.random() < 0.3 else {"stride": chance.choice((1, 2))}
        kernel, more = chance.choice((1, 3, 9)), chance.choice((1, 2, 5))
        return net.conv(source, groups * more, kernel, groups=groups, act=act, **settings)
    if kind in ("same", "swish"):
        wide, depthwise = chance.randint(3, 18), chance.random() < 0.6
        swish = Activation(chance.choice(("hardswish", "silu", "gelu")))
        x = net.conv(source, wide, act=act if kind == "same" else None)
        x = net.add(swish, x) if kind == "swish" else x
        trail = (chance.randint(0, 2), chance.randint(0, 2)) if kind == "same" else (1, 1)
        conv = Conv((3, 3), (chance.choice((1, 2)),) * 2, (0, 1), groups=wide if depthwise else 1)
        weight = torch.randn(wide, 1 if depthwise else wide, 3, 3) / 9
        if height + trail[0] >= 3 and width + 1 + trail[1] >= 3:
            x = net.add(replace(conv, trail=trail), x, weight=weight, bias=torch.randn(wide))
            x = net.add(swish, x) if kind == "swish" else x
        return net.conv(x, chance.randint(1, 9))
    if kind == "mix":
        return net.add(Mix(), source, chance.choice(alike), share=torch.tensor(0.3))
    if kind == "concat":
        return net.add(Concat(), source, *chance.choices(beside, k=chance.randint(1, 3)))
    if kind == "slice" and channels > 1:
        first, step = chance.randrange(channels - 1), chance.choice((1, 1, 1, 2))
        return net.add(Slice(0, first, chance.randint(first + 1, channels), step), source)
    if kind == "rows" and height > 3:
        return net.add(Slice(1, 1, height, chance.choice((1, 2))), source)
    if kind == "pool":
        of, kernel = chance.choice(("max", "average")), chance.choice((2, 3))
        if min(height, width) >= kernel:
            pads, ends = (kernel // 2,) * 2, (chance.random() < 0.5, chance.random() < 0.5)
            return net.add(Pool(of, (kernel, kernel), (2, 2), pads, *ends), source)
    if kind == "resize":
        size = chance.randint(2, 12), chance.randint(2, 12)
        return net.add(Resize(size, chance.random() < 0.5), source)
    if kind == "pad":
        return net.add(Pad((chance.choice((0, 2)), 1, 0), (1, 0, 2)), source)
    if kind == "grid":
        grid = chance.choice((1, 3, 4, 7)), chance.choice((1, 2, 5))
        return net.add(GridPool(chance.choice(("max", "average")), grid), source)
    if kind == "residual":
        wide, act = chance.randint(4, 18), chance.choice(("relu", "relu6"))
        expanded = net.conv(source, wide, act=act)
        filtered = net.conv(expanded, wide, 3, groups=wide, act=act)
        return net.add(Add(), source, net.conv(filtered, channels))
    if kind == "rex" and min(height, width) >= 4:
        states = chance.choice((1, 2, 5, 8, 9)), chance.choice((1, 2, 4, 9))
        patch = chance.randint(2, 4), chance.randint(2, 4)
        stride = chance.randint(1, 5), chance.randint(1, 5)
        padding = chance.choice(("same", "replicate_out", 0, (1, 0), (0, 1)))
        rex = ReX2d(channels, *states, patch, stride, padding)
        return net.add(Composite("ReX2d", rex.eval()), net.add(Activation("tanh"), source))
    return net.conv(source, 2)


@pytest.fixture
def draw_graph(sketch: type[Sketch]) -> Callable[[int], Graph]:
    """Draws a graph of one to three stages from a seed."""

    def draw(seed: int) -> Graph:
        chance = random.Random(seed)
        torch.manual_seed(seed)
        net = sketch(chance.choice((1, 3)), chance.randint(5, 13), chance.randint(4, 9))
        maps = ["image"]
        for _ in range(chance.randint(1, 3)):
            for _ in range(chance.randint(3, 9)):
                maps.append(grow(net, maps, chance))
            net.exit(maps[-1])
        return net.graph()

    return draw


@pytest.fixture
def plan_moved() -> Callable[[Graph, int, int], StreamedPlan]:
    """Plans a graph whose stages end elsewhere, inverted residuals of which keep nothing, and whose
    rows are fleeting, by chance: a seed, and bytes of a number.
    """

    def plan(seed: int, graph: Graph, element_bytes: int) -> StreamedPlan:
        chance = random.Random(seed)
        moved = fuse(graph)
        for boundary in range(len(graph.stages) - 1):
            if chance.random() < 0.5:
                count = chance.randint(0, len(movable(moved, boundary)))
                moved = later(moved, boundary, count)
            elif starts := [*sources(moved, boundary)]:
                moved = again(moved, boundary, chance.choice(starts))
        if chance.random() < 0.7:
            expanding = [n.output for n in moved.nodes if isinstance(n.operator, InvertedResidual)]
            moved = with_recomputed(moved, expanding)
        draft = Draft(moved, element_bytes, image=True)
        names = [name for name in draft.may_be_fleeting() if chance.random() < 0.7]
        return draft.with_fleeting(names).placed(4)

    return plan


@pytest.fixture
def killed_everywhere(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Kills a process at each step that it takes on disk, one after the other."""
    monkeypatch.setattr(os, "fsync", lambda _: None)  # the machine goes on
    killing = imported(Path(__file__).with_name("kill_everywhere.py"))
    return killing.kill_everywhere  # type: ignore[no-any-return]


def imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"script_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def script() -> Callable[[Path], ModuleType]:
    """Imports a program that lies in no package."""
    return imported


@pytest.fixture(scope="session", autouse=True)
def compilers(request: pytest.FixtureRequest, tmp_path_factory: Any) -> None:
    """What the runtime is compiled to is kept, for the tests of all processes."""
    base = tmp_path_factory.getbasetemp()
    place = base.parent if hasattr(request.config, "workerinput") else base
    once = imported(Path(__file__).with_name("compile_once.py"))
    os.environ["PATH"] = once.install(place / "compilers")
