"""Graphs put together by hand, node by node, or by chance."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from exeunt.graph import Graph, Node, Operator, StageGraph
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
    SharpPool,
    Shuffle,
    Slice,
    Unflatten,
)
from exeunt.ops.renet import ReNet2d
from exeunt.ops.rex import ReX2d
from exeunt.ops.rnnpool import RNNPool2d


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


KINDS = ["conv", "concat", "slice", "add"] * 2
KINDS += ["conv", "depthwise", "residual", "affine", "act", "mix", "rows", "pool", "resize", "pad"]
KINDS += ["grid", "dilated", "rex", "act", "grouped", "multiply", "squeeze", "slope", "shuffle"]
KINDS += ["lines", "same", "swish", "spread", "along"]


RIVALS = ["renet", "rnnpool", "sharp", "gated", "lift"] * 3 + ["conv", "residual", "concat", "pool"]


def grow(net: Sketch, maps: list[str], chance: random.Random, kinds: Sequence[str] = KINDS) -> str:
    """Appends a node of some kind that reads what there is."""
    source = chance.choice(maps[-4:])
    channels, height, width = net.shapes[source]
    alike = [name for name in maps if net.shapes[name] == net.shapes[source]]
    beside = [name for name in maps if net.shapes[name][1:] == (height, width)]
    kind, act = chance.choice(kinds), chance.choice((None, "relu", "relu6"))
    sizes = ((2, 2), (3, 2), (3, 3), (4, 3))
    window, stride = chance.choice(sizes) if kinds is RIVALS else sizes[0]
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
        trail = (chance.randint(0, 2), chance.randint(0, 2)) if kind == "same" else None
        conv = Conv((3, 3), (chance.choice((1, 2)),) * 2, (0, 1), groups=wide if depthwise else 1)
        if trail is None:
            trail = (1, 1)
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
    if kind == "renet":
        patch = chance.choice((1, 2, (1, 3), (3, 2), 4))
        renet = ReNet2d(channels, chance.choice((1, 3, 8, 9)), patch)
        return net.add(Composite("ReNet2d", renet.eval()), source)
    if kind == "rnnpool" and min(height, width) >= 4:
        states, patch = (chance.choice((2, 5, 9)), chance.choice((1, 4))), chance.randint(2, 4)
        pool = RNNPool2d(channels, *states, patch, chance.randint(1, 3))
        for parameter in pool.parameters():
            nn.init.normal_(parameter, 0, 0.5)
        return net.add(Composite("RNNPool2d", pool.eval()), source)
    if kind == "sharp" and min(height, width) >= window:
        means = net.add(GlobalAverage(keep=True), source)
        guide = net.add(Activation("sigmoid"), net.conv(means, channels))
        return net.add(SharpPool(window, stride), source, guide)
    if kind == "gated" and min(height, width) >= window:
        over = tuple((window - length) % stride for length in (height, width))
        sizes, ceil = ((window, window), (stride, stride)), True
        conv = Conv(*sizes, groups=channels, trail=over)
        weight = torch.randn(channels, 1, window, window)
        gate = net.add(Activation("sigmoid"), net.add(conv, source, weight=weight))
        largest, average = (
            net.add(Pool(of, *sizes, ceil=ceil), source) for of in ("max", "average")
        )
        more = net.add(Multiply(), gate, net.add(Add(alpha=-1.0), largest, average))
        return net.add(Add(), average, more)
    if kind == "lift" and height > 1:
        lines, every = tuple(range(0, height, 2)), tuple(range(width))
        odd = tuple(min(line + 1, height - 1) for line in lines)
        even, other = (net.add(Lines(down, every), source) for down in (lines, odd))
        filtered = net.conv(net.conv(even, channels, 3, groups=channels, act="relu"), channels)
        detail = net.add(Add(alpha=-1.0), other, net.add(Activation("tanh"), filtered))
        return net.add(Add(), even, detail)
    return net.conv(source, 2)


def grow_chain(net: Sketch, chance: random.Random) -> None:
    """Appends convolutions and inverted residuals, each of the one before, and exits."""
    at = net.conv("image", chance.randint(3, 6), 3, chance.choice((1, 2)), act="relu6")
    for last in (False,) * chance.randint(0, 1) + (True,):
        for _ in range(chance.randint(2, 3)):
            channels, kernel = net.shapes[at][0], chance.choice((3, 3, 5))
            if chance.random() < 0.25:
                at = net.conv(at, chance.randint(3, 9), kernel, act="relu")
                continue
            wide, stride = channels * chance.randint(2, 4), chance.choice((1, 1, 2))
            expanded = net.conv(at, wide, act="relu6")
            filtered = net.conv(expanded, wide, kernel, stride, groups=wide, act="relu6")
            adds = stride == 1 and chance.random() < 0.5
            out = net.conv(filtered, channels if adds else chance.randint(3, 9))
            at = net.add(Add(), at, out) if adds else out
        net.exit(net.conv(at, 7) if last else at)
