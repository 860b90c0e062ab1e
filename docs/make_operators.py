"""Writes `docs/operators.md`: tries every operator in every form, and says what came of it.

    python docs/make_operators.py

A test compares the page with what this makes. Takes half a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exeunt.chain import Block, chain
from exeunt.errors import ExeuntError
from exeunt.export.c import Float32, Int8
from exeunt.export.c.model import written
from exeunt.export.c.numbers import Numbers
from exeunt.export.c.source import CSource
from exeunt.export.onnx import write_stages
from exeunt.files import replacing
from exeunt.graph import Graph, build_graph, plan_stream
from exeunt.graph.operators import Operator, Shape
from exeunt.graph.pointwise import named
from exeunt.graph.rows import row_count, rows_needed
from exeunt.graph.views import is_view
from exeunt.net import MultiExitNet
from exeunt.ops.exits import make_exit
from exeunt.ops.lift import LiftDownPool2d
from exeunt.ops.macs import count_macs
from exeunt.ops.pooling import GatedPool2d, GFGP2d, MixedPool2d
from exeunt.ops.renet import ReNet2d
from exeunt.ops.rex import ReX2d
from exeunt.ops.rnnpool import RNNPool2d
from exeunt.policies import parse_policy
from exeunt.quantize import IntegerPolicy, observe_ranges, quantize

PAGE = Path(__file__).parent / "operators.md"
SHAPE = (8, 12, 10)
YES, NO = "yes", "no"

Function = Callable[[Tensor], Tensor]


class Written(nn.Module):
    """A function as a module."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class SqueezeExcite(nn.Module):
    """Squeeze and excite."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            *(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, inner, 1), nn.ReLU()),
            *(nn.Conv2d(inner, channels, 1), nn.Hardsigmoid()),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.inner(x)


class Gate(nn.Module):
    """A convolution over the means of channels (ECA-Net)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.conv(x.mean((2, 3))[:, None]).sigmoid().mT[..., None]


class Tokens(nn.Module):
    """Self-attention over the pixels of a map, or a norm over its channels."""

    def __init__(self, channels: int, *, attends: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(channels, 2, batch_first=True) if attends else None
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.norm(x.flatten(2).transpose(1, 2))
        if self.attention is not None:
            tokens, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        return tokens.transpose(1, 2).reshape(x.shape)


def _shuffled(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


def _chosen(x: Tensor) -> Tensor:
    parts = x.unflatten(1, (2, 4))
    gates = x.mean((2, 3)).view(-1, 2, 4, 1, 1).softmax(1)
    return (parts * gates).sum(1)


def _padded(x: Tensor) -> Tensor:
    return F.pad(x, (0, 1, 0, 1))


SAMPLES: dict[str, list[tuple[str, nn.Module]]] = {
    "Sums of products": [
        ("`nn.Conv2d`, dense, any kernel up to 15x15", nn.Conv2d(8, 6, 3, 2, 1)),
        ("dilated", nn.Conv2d(8, 6, 3, padding=2, dilation=2)),
        ("depthwise", nn.Conv2d(8, 8, 5, 1, 2, groups=8)),
        ("in groups, dilated too", nn.Conv2d(8, 16, 3, 1, 2, 2, groups=4)),
        (
            "after `F.pad`: padding on one side (`Conv2dSame`)",
            nn.Sequential(Written(_padded), nn.Conv2d(8, 6, 3, 2)),
        ),
        (
            "`nn.Linear`",
            nn.Sequential(
                *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 6)),
                nn.Unflatten(1, (6, 1, 1)),
            ),
        ),
        (
            "inverted residual, one operator where rows stream",
            nn.Sequential(
                *(nn.Conv2d(8, 20, 1), nn.ReLU6(), nn.Conv2d(20, 20, 3, 1, 1, groups=20)),
                *(nn.ReLU6(), nn.Conv2d(20, 6, 1)),
            ),
        ),
    ],
    "By channel": [
        ("`nn.BatchNorm2d`, wherever it stands", nn.Sequential(nn.MaxPool2d(2), nn.BatchNorm2d(8))),
        (
            "a number or a constant for each channel: `2 * x + 1`, `gamma * x`",
            Written(lambda x: (2 * x + 1) / 3 - 0.5),
        ),
        ("squeeze-excite: a map times a vector", SqueezeExcite(8, 4)),
        ("`nn.Conv1d` over the means of channels, such as ECA's gate", Gate()),
        (
            "`softmax` over two numbers, as in selective kernels and split attention",
            Written(_chosen),
        ),
        ("`nn.PReLU`", nn.PReLU(8)),
        ("channel shuffle, written with views or `nn.ChannelShuffle`", Written(_shuffled)),
    ],
    "Of two tensors": [
        ("`a + b`, `a - b`, `sum`", Written(lambda x: x + F.relu(x) - F.max_pool2d(x, 3, 1, 1))),
        ("`a * b`", Written(lambda x: x * F.avg_pool2d(x, 3, 1, 1))),
        (
            "a map and a row, a column or a pixel for all",
            Written(lambda x: x * x.mean(2, keepdim=True) + x.mean(3, keepdim=True)),
        ),
        ("a map of one channel for all channels", Written(lambda x: x * x[:, :1])),
        (
            "`torch.stack`, and its sum or mean",
            Written(lambda x: torch.stack([x, F.relu(x), F.silu(x)]).mean(0)),
        ),
        ("`torch.lerp` with a constant", MixedPool2d(2)),
        ("`torch.cat` of channels", Written(lambda x: torch.cat([x, F.relu(x)], 1))),
    ],
    "Functions": [
        (name, module)
        for name, module in (
            ("`relu`", nn.ReLU()),
            ("`relu6`", nn.ReLU6()),
            ("`clamp`, `hardtanh`", nn.Hardtanh(-1.5, 2)),
            ("`sigmoid`", nn.Sigmoid()),
            ("`tanh`", nn.Tanh()),
            ("`silu`", nn.SiLU()),
            ("`gelu`", nn.GELU()),
            ("`gelu`, by `tanh`", nn.GELU("tanh")),
            ("`hardswish`", nn.Hardswish()),
            ("`hardsigmoid`", nn.Hardsigmoid()),
            ("`leaky_relu`", nn.LeakyReLU(0.2)),
            ("`elu`", nn.ELU()),
            ("`mish`", nn.Mish()),
            ("`softplus`", nn.Softplus()),
        )
    ],
    "Pooling and resizing": [
        ("`nn.MaxPool2d`, `nn.AvgPool2d`", nn.MaxPool2d(3, 2, 1)),
        ("`nn.AdaptiveAvgPool2d`, `nn.AdaptiveMaxPool2d`", nn.AdaptiveAvgPool2d((3, 2))),
        ("`x.mean((2, 3))`, global pooling", nn.AdaptiveAvgPool2d(1)),
        (
            "`x.mean(2)`, `x.amax(3)`, kept as a row or column or not",
            Written(lambda x: x.mean(3, keepdim=True)),
        ),
        (
            "`x.mean(1)`, `x.amax(1)`, `x.max(1)[0]`, as in CBAM",
            Written(lambda x: torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)),
        ),
        ("bilinear", nn.Upsample(scale_factor=2, mode="bilinear")),
        ("nearest, `nearest-exact`", nn.Upsample(scale_factor=2)),
    ],
    "What moves": [
        ("`chunk`, `split`, `x[:, a:b]`", Written(lambda x: x[:, 2:6])),
        ("every n-th channel, row, column", Written(lambda x: x[:, ::2, 1::2, ::3])),
        ("`flip`, `roll`, channels in any order", Written(lambda x: x.flip(1, 3))),
        (
            "`torch.index_select` by stored numbers",
            Written(lambda x: x.index_select(2, torch.arange(1, 12, 3))),
        ),
        (
            "`F.pad` with zeros, elsewhere",
            nn.Sequential(nn.ZeroPad2d((1, 2, 0, 1)), nn.MaxPool2d(2)),
        ),
        (
            "`nn.Unflatten`: a vector as a map",
            nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Unflatten(1, (2, 2, 2))),
        ),
        ("`flatten`", nn.Sequential(nn.Flatten(), nn.Linear(960, 4), nn.Unflatten(1, (4, 1, 1)))),
    ],
    "Modules that stay one operator": [
        ("`ReX2d`, GRU", ReX2d(8, 4, 2, 4, 2)),
        ("`ReX2d`, minGRU", ReX2d(8, 4, 2, 4, 2, cell="mingru")),
        ("`ReX2d`, FastGRNN", ReX2d(8, 4, 2, 4, 2, cell="fastgrnn")),
        ("`ReX2d`, LSTM", ReX2d(8, 4, 2, 4, 2, cell="lstm")),
        ("`ReX2d`, plain RNN", ReX2d(8, 4, 2, 4, 2, cell="rnn")),
        ("`RNNPool2d`", RNNPool2d(8, 4, 2, 4, 2)),
        ("`ReNet2d`, GRU", ReNet2d(8, 4, 2)),
        ("`ReNet2d`, LSTM", ReNet2d(8, 4, 2, cell="lstm")),
        ("`GFGP2d` bound by softplus", GFGP2d(8, 2, bound="softplus")),
    ],
    "Modules that become several": [
        ("`MixedPool2d`, a share for each channel", MixedPool2d(2, channels=8)),
        ("`GatedPool2d`", GatedPool2d(2)),
        ("`GFGP2d`", GFGP2d(8, 2)),
        ("`LiftDownPool2d`", LiftDownPool2d(8)),
    ],
    "Without a plain form": [
        (
            "`softmax` over more than two numbers, as in global context",
            Written(lambda x: x * x.flatten(2).softmax(2).view(x.shape)),
        ),
        ("attention", Tokens(8, attends=True)),
        ("`nn.LayerNorm` over channels that are last", Tokens(8, attends=False)),
        ("`nn.GroupNorm`, unless it is [registered](#an-operator-of-your-own)", nn.GroupNorm(2, 8)),
    ],
}


@dataclass(frozen=True)
class Tried:
    """What became of one sample."""

    kinds: tuple[str, ...]
    acts: tuple[str, ...]
    cells: tuple[str, ...]


@cache
@torch.no_grad()
def tried(module: nn.Module) -> Tried:
    """Tries a module in every form."""
    net = net_of(module)
    try:
        graph = build_graph(net, SHAPE[1:])
    except ExeuntError:
        counted = f"{count_macs(net.stages[0].trunk, torch.zeros(1, *SHAPE)).total:,}"
        return Tried((), (), (NO, counted, NO, NO, NO, NO, _onnx(net, None)))
    nodes = [node for node in graph.nodes if node.module.startswith("stages.0.trunk")]
    macs = sum(graph.macs[node.output] for node in nodes)
    plan = plan_stream(graph, 4)
    kinds = {node.operator.kind for node in (*nodes, *plan.graph.nodes)}
    integers, c_int8 = NO, NO
    try:
        quantized = quantize(graph, observe_ranges(graph, [torch.randn(4, *SHAPE)]))
        integers, c_int8 = YES, _in_c(graph, Int8(quantized, IntegerPolicy()))
    except ExeuntError:
        pass
    c_float = _in_c(graph, Float32(parse_policy("full")))
    cells = (YES, f"{macs:,}", _streams(graph), integers, c_float, c_int8, _onnx(net, graph))
    acts = {node.operator.settings.get("act") for node in nodes} - {None}
    return Tried(tuple(sorted(kinds)), tuple(named(act)[0] for act in acts), cells)


def net_of(module: nn.Module) -> MultiExitNet:
    """A network of the module alone, and an exit."""
    torch.manual_seed(0)
    module = module.eval()
    channels = module(torch.zeros(2, *SHAPE)).shape[1]
    stages = chain([Block("block", module, channels)], [0], lambda _, c: make_exit("pooled", c, 2))
    return MultiExitNet(stages, 2, SHAPE[0]).eval()


def _streams(graph: Graph) -> str:
    """How rows go through what there is before the exit; the dearest way of all."""
    plan = plan_stream(graph, 4)
    ways = {0}
    for node in plan.graph.nodes:
        if not node.block.startswith("stages.0.trunk") or is_view(node.output, plan.segments):
            continue
        given = plan.graph.shapes[node.output]
        taken = [plan.graph.shapes[part.tensor] for parts in plan.reads(node) for part in parts]
        if node.operator.accumulates:
            ways.add(1)
        elif any(_needs_all(node.operator, shape, given) for shape in taken):
            ways.add(2)
    held = any(node.operator.kind in ("Multiply", "SharpPool") for node in graph.nodes)
    held = held and 1 in ways
    return "its map is held" if held else ("row by row", "takes in rows", "whole map")[max(ways)]


def _needs_all(operator: Operator, taken: Shape, given: Shape) -> bool:
    """Whether some row needs all rows of an input that has several."""
    rows = (rows_needed(operator, taken, given, row) for row in range(row_count(given)))
    return row_count(taken) > 1 and max(map(len, rows)) == row_count(taken)


def _in_c(graph: Graph, numbers: Numbers) -> str:
    plan, source = plan_stream(graph, numbers.element_bytes), CSource("net")
    try:
        for number, node in enumerate(written(plan)):
            numbers.kernel(node, plan, source, number)
    except ExeuntError:
        return NO
    return YES


def _onnx(net: MultiExitNet, graph: Graph | None) -> str:
    try:
        write_stages(graph or build_graph(net, SHAPE[1:], whole_stages=True), {})
    except ExeuntError:
        return NO
    return YES if graph else "by torch"


def squeezed() -> Iterator[str]:
    """Lines of the table that says what squeeze-excite costs."""
    for said, squeeze in (("without", nn.Identity()), ("with", SqueezeExcite(72, 24))):
        block = nn.Sequential(
            *(nn.Conv2d(24, 72, 1), nn.Hardswish(), nn.Conv2d(72, 72, 5, 1, 2, groups=72)),
            *(nn.Hardswish(), squeeze, nn.Conv2d(72, 24, 1)),
        )
        stages = chain([Block("block", block, 24)], [0], lambda _, c: make_exit("pooled", c, 2))
        graph = build_graph(MultiExitNet(stages, 2, 24).eval(), 28)
        arenas = [plan_stream(graph, size, image=False).arena_bytes for size in (4, 1)]
        yield f"| {said} | {graph.exit_macs[-1]:,} | {arenas[0]:,} | {arenas[1]:,} |"


def page() -> str:
    """The page as it should be."""
    text = PAGE.read_text(encoding="utf-8")
    lines = []
    for title, samples in SAMPLES.items():
        lines += [f"| **{title}** | | | | | | | |"]
        lines += [f"| {name} | {' | '.join(tried(module).cells)} |" for name, module in samples]
    head = "| | lowered | multiply-adds | streams | int8 | C, float32 | C, int8 | ONNX |"
    table = [head, "| --- | --- | ---: | --- | --- | --- | --- | --- |", *lines]
    cost = [
        "| squeeze-excite | multiply-adds | float32 arena, bytes | int8 arena, bytes |",
        "| --- | ---: | ---: | ---: |",
        *squeezed(),
    ]
    for mark, made in (("operators", table), ("squeeze", cost)):
        begin, end = f"<!-- {mark} -->\n", f"<!-- end of {mark} -->"
        start, stop = text.index(begin) + len(begin), text.index(end)
        text = text[:start] + "\n".join(["", *made, "", ""]) + text[stop:]
    return text


def main() -> None:
    """Rewrites the page."""
    made = page()
    with replacing(PAGE) as temporary:
        temporary.write_text(made, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
