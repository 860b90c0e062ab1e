"""Every float kernel on graphs made by hand, one exit for each: C against PyTorch."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from exeunt.data import Transform
from exeunt.export.c import kernels_f32, model, shape
from exeunt.export.c.boards import can_emulate
from exeunt.export.c.device import run_device
from exeunt.export.c.float32 import Float32
from exeunt.export.c.folder import CModel, write_c
from exeunt.export.c.host import CHECKED, STRICT, ExitAnswer, build_host, run_host, run_tool
from exeunt.export.c.kernel import Kernel
from exeunt.export.c.source import CSource
from exeunt.graph import interpret, plan_stream
from exeunt.graph.fuse import part_constants
from exeunt.graph.graph import Graph, Node, StageGraph
from exeunt.graph.operators import (
    ACTIVATIONS,
    Activation,
    Add,
    Affine,
    Concat,
    Constants,
    Conv,
    Flatten,
    GlobalAverage,
    GridPool,
    Linear,
    Lines,
    Mix,
    Multiply,
    Operator,
    Pad,
    ParametricReLU,
    Pool,
    Resize,
    Shape,
    Shuffle,
    Slice,
    Unflatten,
)
from exeunt.graph.streamed import StreamedPlan
from exeunt.graph.views import Segment, is_whole
from exeunt.policies import parse_policy

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")

SETTLED = {"clip": ":-0.5:2.5", "leaky_relu": ":0.2", "elu": ":1.5", "softplus": ":1.5:2"}
SHAPE, WIDTH, CLASSES, IMAGES = (3, 13, 11), 7, 3, 3


@dataclass
class Draft:
    """A graph that grows node by node."""

    shapes: dict[str, Shape] = field(default_factory=lambda: {"image": SHAPE})
    nodes: list[Node] = field(default_factory=list)
    stages: list[StageGraph] = field(default_factory=list)
    chance: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(0))

    def add(self, operator: Operator, *inputs: str, **constants: Tensor) -> str:
        taken = [torch.zeros(1, *self.shapes[name]) for name in inputs]
        name = f"t{len(self.shapes)}"
        self.shapes[name] = tuple(operator.run(taken, constants).shape[1:])
        self.nodes.append(Node(operator, inputs, name, name, name, "Made", constants))
        return name

    def random(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.chance)

    def conv(self, source: str, channels: int, kernel: int = 1, **settings: Any) -> str:
        weight = self.random(channels, self.shapes[source][0], kernel, kernel) / kernel
        conv = Conv((kernel, kernel), **settings)
        return self.add(conv, source, weight=weight, bias=self.random(channels))

    def end(self, name: str, *state: str) -> None:
        """An exit that tells every number of a tensor apart."""
        if len(self.shapes[name]) == 3:
            name = self.add(Flatten(), name)
        weight = self.random(CLASSES, *self.shapes[name])
        logits = self.add(Linear(), name, weight=weight)
        self.stages.append(StageGraph(tuple(self.nodes), logits, state))
        self.nodes = []

    def graph(self) -> Graph:
        return Graph("image", tuple(self.stages), self.shapes)


@dataclass(frozen=True)
class Scaled(Conv):
    """A dilated convolution of what is scaled and shifted first."""

    affine: Affine = field(default_factory=Affine)

    def run(self, inputs: Any, constants: Constants) -> Tensor:
        scaled = self.affine.run(inputs, part_constants(constants, "affine"))
        return super().run([scaled], part_constants(constants, "conv"))


def scaled(node: Node, conv: Scaled, graph: Graph, source: CSource, number: int) -> Kernel:
    before = conv.affine, part_constants(node.constants, "affine")
    constants = part_constants(node.constants, "conv")
    return kernels_f32.gathering(node, conv, constants, source, number, before)


def every_operator() -> Graph:
    draft = Draft()
    wide = draft.conv("image", WIDTH, act="relu6")
    other = draft.conv("image", WIDTH)
    draft.end(other, wide, other)
    cases: list[tuple[Operator, Mapping[str, Tensor]]] = [
        (operator, {})
        for operator in (
            Pool("max", (3, 3), (2, 2), (1, 1)),
            Pool("max", (2, 3), (2, 1), ceil=True),
            Pool("average", (3, 4), (2, 3), (1, 2), ceil=True),
            Pool("average", (3, 2), (1, 2), (1, 1), count_padding=False),
            Pool("average", (4, 4), (3, 4), (2, 1), ceil=True, count_padding=False),
            GridPool("max", (5, 4)),
            GridPool("average", (13, 3)),
            GridPool("average", (7, 15)),
            GridPool("max", (1, 1)),
            Resize((17, 22), False),
            Resize((20, 7), True),
            Resize((5, 17), False),
            Resize((1, 4), True),
            Pad((2, 1, 3), (4, 0, 2)),
            Pad((0, 0, 0), (7, 1, 0)),
            Slice(0, 1, 7, 3),
            Slice(0, 2, 6),
            Slice(1, 2, 12, 4),
            Slice(2, 1, 11, 2),
            *(Activation(name + SETTLED.get(name, "")) for name in ACTIVATIONS),
            Shuffle((3, 0, 6, 1, 5, 2, 4)),
            Shuffle((5, 2)),
            Lines((0, 0, 3, 3, 12, 12), tuple(range(0, 11, 2))),
            GlobalAverage(),
        )
    ]
    cases.append((ParametricReLU(), {"slope": draft.random(WIDTH)}))
    for settings in (
        {"groups": 7, "dilation": (2, 1), "padding": (2, 1), "act": "hardswish"},
        {
            "groups": 7,
            "stride": (2, 2),
            "padding": (0, 1),
            "trail": (1, 2),
            "act": "leaky_relu:0.2",
        },
        {"padding": (1, 0), "trail": (0, 2), "act": "silu"},
    ):
        grouped = Conv((3, 3), **settings)
        shape = (14, WIDTH // grouped.groups, 3, 3)
        cases.append((grouped, {"weight": draft.random(*shape), "bias": draft.random(14)}))
    for settings in (
        {"kernel": (3, 3), "dilation": (2, 2), "padding": (2, 2), "act": "relu"},
        {"kernel": (2, 3), "dilation": (3, 1), "stride": (2, 3), "padding": (0, 1)},
        {"kernel": (1, 5), "dilation": (1, 2), "padding": (1, 3), "act": "relu6"},
    ):
        weights = {"weight": draft.random(9, WIDTH, *settings["kernel"]), "bias": draft.random(9)}
        cases.append((Conv(**settings), weights))
        act: Any = settings.get("act")
        both = {f"conv.{name}": weight for name, weight in weights.items()}
        both |= {"affine.scale": draft.random(WIDTH), "affine.shift": draft.random(WIDTH)}
        cases.append((Scaled(**settings, affine=Affine(act=act)), both))
    for operator, constants in cases:
        draft.end(draft.add(operator, other, **constants), wide, other)
    for operator, constants in (
        (Add(), {}),
        (Add(act="relu"), {}),
        (Add(act="relu6"), {}),
        (Add(alpha=-0.5), {}),
        (Multiply(), {}),
        (Multiply(act="relu6"), {}),
        (Mix(), {"share": torch.tensor(0.3)}),
        (Mix(), {"share": torch.tensor([0.85])}),
        (Concat(), {}),
    ):
        draft.end(draft.add(operator, other, wide, **constants), wide, other)
    several = draft.add(Concat(), draft.add(Slice(0, 2, 6), wide), other, wide)
    channels = draft.shapes[several][0]
    filters: list[tuple[Operator, Mapping[str, Tensor]]] = [
        (Conv(**settings), {"weight": draft.random(channels, 1, *settings["kernel"])})
        for settings in (
            {"kernel": (3, 3), "padding": (1, 1), "act": "relu6", "groups": channels},
            {"kernel": (3, 2), "stride": (1, 2), "padding": (2, 0), "groups": channels},
        )
    ]
    scales = {"scale": draft.random(channels), "shift": draft.random(channels)}
    for operator, constants in (*filters, (Affine(act="relu"), scales)):
        draft.end(draft.add(operator, several, **constants), wide, other)
    one = draft.conv(wide, 1)
    for both in (Multiply(), Add(alpha=-0.5)):
        draft.end(draft.add(both, other, one), wide, other)
        draft.end(draft.add(both, one, draft.add(GlobalAverage(keep=True), wide)), wide, other)
    two = draft.add(Concat(), draft.add(GlobalAverage(), wide), draft.add(GlobalAverage(), other))
    row = draft.conv(draft.add(Unflatten((1, 2 * WIDTH)), two), 2)
    draft.end(draft.add(Unflatten((2, 7)), draft.add(Flatten(), row)), wide, other)
    for line in (GlobalAverage(keep=True), GridPool("average", (1, SHAPE[2]))):
        for both in (Multiply(), Add(act="relu")):
            gate = draft.conv(draft.add(line, wide), WIDTH, act="sigmoid")
            draft.end(draft.add(both, other, gate), wide, other)
    means = draft.add(GlobalAverage(), wide)
    joined = draft.add(Concat(), means, draft.add(GlobalAverage(), other), means)
    doubled = draft.add(Add(), joined, draft.add(Activation("tanh"), joined))
    draft.end(draft.add(Slice(0, 4, 19, 2), doubled), wide, other)
    # whatever streams: nothing here needs a whole map
    x = draft.add(Pool("max", (3, 3), (2, 2), (1, 1)), draft.add(Concat(), wide, other, wide))
    x = draft.conv(x, 7, 3, dilation=(2, 2), padding=(2, 2))
    x = draft.add(Activation("silu"), draft.add(Pad((1, 1, 1), (1, 1, 1)), x))
    x = draft.add(Add(), x, draft.add(Activation("hardswish"), x))
    x = draft.add(Slice(1, 1, 9, 2), draft.add(Resize((11, 9), False), x))
    draft.end(draft.add(GridPool("average", (2, 3)), x))
    return draft.graph()


def in_parts(node: Node, plan: StreamedPlan) -> list[list[Segment]]:
    """Every input as three parts, where the kernel reads more than one."""
    found: list[list[Segment]] = []
    single = isinstance(node.operator, (Linear, Affine)) or type(node.operator) is Conv
    for parts in plan.reads(node):
        name, channels = parts[0].tensor, parts[0].channels
        if not is_whole(parts, plan.graph) or channels == 1:
            found.append(list(parts))
            continue
        ends = [0, 1, -(-channels // 2), channels]
        if single and not _gathered(node):
            ends = [0, channels]
        if len(found) == 1:  # the second input in others
            ends[1:-1] = [1, channels - 1]
        found.append([Segment(name, a, b - a) for a, b in pairwise(ends)])
    whole = isinstance(node.operator, Concat)
    return [[part for parts in found for part in parts]] if whole else found


def _gathered(node: Node) -> bool:
    """Whether it is no convolution that reads one tensor as it lies."""
    conv = node.operator
    return isinstance(conv, Conv) and (conv.groups == WIDTH or conv.dilation != (1, 1))


def write(
    graph: Graph,
    folder: Path,
    changed: Callable[[StreamedPlan], StreamedPlan] = lambda plan: plan,
) -> None:
    plan = changed(plan_stream(graph, 4))
    transform = Transform(SHAPE[1:], mode="RGB")
    names = [f"class {k}" for k in range(CLASSES)]
    numbers = Float32(parse_policy("full"))
    write_c(CModel("net", "", numbers, plan, transform, names, {}), folder)


@pytest.mark.parametrize("parts", [None, in_parts], ids=["whole", "in parts"])
def test_c_says_what_pytorch_says(
    parts: Callable[[Node, StreamedPlan], Any] | None,
    tmp_path: Path,
    raw: Callable[..., Path],
    images: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Composite tensors, and channels of one in several parts."""
    monkeypatch.setitem(kernels_f32._MAKERS, Scaled, scaled)
    if parts is not None:
        monkeypatch.setattr(model, "parts_of", parts)
    pixels = images(IMAGES, SHAPE)
    transform = Transform(SHAPE[1:], mode="RGB")
    inputs = torch.stack([transform.normalise_pixels(image) for image in pixels])
    graph = every_operator()
    write(graph, tmp_path / "c")
    build_host(tmp_path / "c", tmp_path / "program", CHECKED)
    includes, net_c = shape.Shape.read(tmp_path / "c").includes, str(tmp_path / "c/net/src/net.c")
    run_tool(["cc", *STRICT, "-Wconversion", *includes, "-fsyntax-only", net_c])
    answers = list(run_host(tmp_path / "program", raw(pixels)))
    wanted = interpret(graph, inputs)
    assert len(answers) == len(wanted) * IMAGES
    found = scores_of(answers, len(wanted))
    for stage, mine, theirs in zip(graph.stages, found, wanted, strict=True):
        far = np.abs(mine - theirs.numpy()).max() / theirs.abs().max().item()
        assert far <= 1e-5, f"{[node.operator for node in stage.nodes]}: {far}"

    if parts is None and can_emulate("cortex-m4"):
        there = run_device(tmp_path / "c", "net", tmp_path / "images.raw", IMAGES)
        assert list(there.answers) == answers


def scores_of(answers: list[ExitAnswer], exits: int) -> np.ndarray:
    """Scores (E, N, K)."""
    found = np.full((exits, IMAGES, CLASSES), np.nan)
    for answer in answers:
        found[answer.exit_index, answer.image] = [*map(float, answer.scores)]
    return found


def test_nothing_is_written_beside_what_was_planned(
    tmp_path: Path, images: Any, spread: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(kernels_f32._MAKERS, Scaled, scaled)
    write(every_operator(), tmp_path / "c", spread.plan)
    spread.check(tmp_path / "c", images(1, SHAPE)[0])


def test_tables_that_are_equal_keep_the_name_that_is_asked_for() -> None:
    """Where the only row of a tensor lies may be what the only stage ends at."""
    plan = plan_stream(every_operator(), 4)
    ends = [end + 1 for end in plan.schedule.ends]
    offsets = [*plan.offsets_bytes]
    offsets[plan.home[plan.graph.image]] = tuple(ends)
    source = CSource("net")
    kernels = {node.output: Kernel("exn_none", False, "NULL") for node in model.written(plan)}
    model.write_tables(replace(plan, offsets_bytes=tuple(offsets)), kernels, source)
    assert f" net_stage_ends[{len(ends)}] = " in str(source)
