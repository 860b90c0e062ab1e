"""What becomes of modules that the zoo has not, and what is said of those that have no form."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exeunt.backbone import attach_exits
from exeunt.chain import Block, chain
from exeunt.errors import ExeuntError
from exeunt.graph import Graph, buffers_of, build_graph, interpret, make_plan
from exeunt.models import create_model
from exeunt.net import MultiExitNet, Stage
from exeunt.ops.exits import make_exit


def lowered(*blocks: nn.Module, channels: int = 3, size: int = 12) -> tuple[MultiExitNet, Graph]:
    torch.manual_seed(0)
    net = attach_exits(nn.Sequential(*blocks), [-1], 4, image_shape=(channels, size, size)).eval()
    return net, build_graph(net, size)


def kinds(graph: Graph) -> list[str]:
    return [node.operator.kind for node in graph.nodes]


def assert_the_same(net: MultiExitNet, graph: Graph) -> None:
    x = torch.randn(2, *graph.shapes[graph.image])
    with torch.no_grad():
        for mine, theirs in zip(interpret(graph, x), net(x), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


def shaken(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    """A batch norm whose statistics show."""
    torch.manual_seed(1)
    for part in (norm.running_mean, norm.weight.data, norm.bias.data):
        part.normal_()
    norm.running_var.uniform_(0.5, 2)
    return norm


def test_a_norm_goes_into_the_convolution_before_it_and_the_activation_too() -> None:
    net, graph = lowered(nn.Conv2d(3, 4, 3), shaken(nn.BatchNorm2d(4)), nn.ReLU6())
    assert kinds(graph) == ["Conv", "GlobalAverage", "Linear"]
    conv = next(graph.nodes)
    assert conv.operator.settings["act"] == "relu6"
    assert set(conv.constants) == {"weight", "bias"}
    assert_the_same(net, graph)


def test_a_norm_after_anything_else_stays() -> None:
    net, graph = lowered(nn.MaxPool2d(2), shaken(nn.BatchNorm2d(3)), nn.ReLU(), nn.Conv2d(3, 5, 1))
    assert kinds(graph) == ["Pool", "Affine", "Conv", "GlobalAverage", "Linear"]
    assert_the_same(net, graph)


class Forked(nn.Module):
    """A convolution that is read twice, before its norm and after it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = shaken(nn.BatchNorm2d(3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x + self.norm(x)


def test_what_is_read_twice_is_not_folded() -> None:
    net, graph = lowered(Forked())
    assert kinds(graph) == ["Conv", "Affine", "Add", "GlobalAverage", "Linear"]
    assert_the_same(net, graph)


@pytest.mark.parametrize(
    "block",
    [
        nn.Conv2d(3, 6, (3, 5), (2, 1), (1, 2), dilation=(1, 2), groups=3),
        nn.Conv2d(3, 4, 3, padding="same", dilation=2),
        nn.MaxPool2d(3, 2, 1, ceil_mode=True),
        nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
        nn.AdaptiveAvgPool2d((3, 2)),
        nn.AdaptiveMaxPool2d(5),
        nn.Upsample((9, 7), mode="bilinear"),
        nn.Hardswish(),
        nn.SiLU(),
        nn.ZeroPad2d((1, 2, 0, 1)),
        nn.Sequential(nn.Sigmoid(), nn.Tanh(), nn.Dropout(0.3), nn.Identity()),
    ],
    ids=lambda block: type(block).__name__,
)
def test_operators_one_by_one(block: nn.Module) -> None:
    channels = block(torch.zeros(1, 3, 12, 12)).shape[1]
    assert_the_same(*lowered(block, nn.Conv2d(channels, 4, 1)))


class Written(nn.Module):
    """A function as a module, with a constant for each of 6 channels."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function, self.share = function, nn.Parameter(torch.rand(6, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, self.share)


MEAN, AVERAGE = nn.AdaptiveAvgPool2d(1), ["GlobalAverage"]
SQUEEZED = [*AVERAGE, "Activation", "Unflatten", "Multiply"]


def squeezed(x: Tensor) -> Tensor:
    n, c, _, _ = x.shape
    return x * torch.sigmoid(x.flatten(2).mean(2)).view(n, c, 1, 1).expand_as(x)


def changed_in_place(x: Tensor) -> Tensor:
    y = x * 1.5
    z = F.relu(y, inplace=True)
    y += 1
    return z * y


@pytest.mark.parametrize(
    ("function", "found"),
    {
        "flipped": (lambda x, _: x.flip(1), ["Shuffle"]),
        "flipped maps": (lambda x, _: x.flip(2, 3), ["Lines"]),
        "rolled": (lambda x, _: x.roll((2, 1), (1, 3)), ["Shuffle", "Lines"]),
        "cut": (lambda x, _: x[:, ::2, 1::2, 3:], ["Slice", "Slice", "Slice"]),
        "there and back": (lambda x, _: x.permute(0, 2, 3, 1).permute(0, 3, 1, 2), []),
        "split": (lambda x, _: x.split([1, 3, 2], 1)[1], ["Slice"]),
        "chosen": (lambda x, _: x.unflatten(1, (2, 3)).select(1, 1), ["Slice"]),
        "interleaved": (lambda x, _: F.channel_shuffle(x, 3), ["Shuffle"]),
        "expanded": (lambda x, share: x * share.expand_as(x), ["Affine"]),
        "by constants": (lambda x, share: (1 - share) * x - share / 2, ["Affine"]),
        "by numbers": (lambda x, _: 2 - (3 * x + 1) / 4, ["Affine"]),
        "negated": (lambda x, _: x - (-x), ["Affine", "Add"]),
        "squeezed": (lambda x, _: squeezed(x), SQUEEZED),
        "rows alone": (lambda x, _: x * x.mean(3).unsqueeze(3), ["GridPool", "Multiply"]),
        "columns alone": (lambda x, _: x + x.mean(2)[:, :, None], ["GridPool", "Add"]),
        "means of means": (
            lambda x, _: x * x.mean(-1).mean(-1)[..., None, None],
            ["GridPool", "GlobalAverage", "Unflatten", "Multiply"],
        ),
        "in place": (lambda x, _: changed_in_place(x), ["Affine", "Affine", "Multiply"]),
        "nearest": (lambda x, _: F.interpolate(x, (17, 7)), ["Lines"]),
        "exact": (lambda x, _: F.interpolate(x, scale_factor=1.3, mode="nearest-exact"), ["Lines"]),
        "clipped": (lambda x, _: x.clamp(-0.3, 0.7).clamp_min(0), ["Activation", "Activation"]),
        "in turns": (
            lambda x, _: torch.stack(x.chunk(2, 1), 2).flatten(1, 2),
            ["Slice", "Slice", "Concat", "Shuffle"],
        ),
        "stacked and summed": (
            lambda x, _: torch.stack([x, -x, x]).mean(0),
            ["Affine", "Concat", "Slice", "Slice", "Slice", "Add", "Add", "Affine"],
        ),
        "parts summed": (lambda x, _: x.unflatten(1, (3, 2)).sum(1), ["Slice"] * 3 + ["Add"] * 2),
        "one channel for all": (lambda x, _: x * x[:, 2:3], ["Slice", "Multiply"]),
        "one number for all": (
            lambda x, _: x + x.mean((2, 3), keepdim=True)[:, :1],
            ["GlobalAverage", "Slice", "Add"],
        ),
        "along channels": (
            lambda x, share: x * F.conv1d(
                x.mean((2, 3))[:, None], share[:3].view(1, 1, 3), padding=1
            ).sigmoid().mT[..., None],
            [*SQUEEZED[:1], "Unflatten", "Conv", "Activation", "Flatten", *SQUEEZED[2:]],
        ),
        "along rows": (
            lambda x, share: x * F.conv1d(
                x.mean(3), share.view(6, 1, 1).expand(6, 1, 3), padding="same", groups=6
            ).unsqueeze(3),
            ["GridPool", "Flatten", "Unflatten", "Conv", "Flatten", "Unflatten", "Multiply"],
        ),
        "summed": (lambda x, share: sum([x, x, share]), ["Add", "Affine"]),
        "largest of channels, seen anew": (
            lambda x, _: x * torch.max(x, 1)[0].unsqueeze(1) + x.mean(1)[:, None],
            ["ChannelPool", "Multiply", "ChannelPool", "Add"],
        ),
        "largest of maps": (
            lambda x, _: x * x.amax((2, 3), keepdim=True) + x.amax(2, keepdim=True),
            ["GridPool", "Multiply", "GridPool", "Add"],
        ),
        "by numbers in place": (
            lambda x, _: x.index_select(1, torch.tensor([5, 0, 3])) + torch.tensor(2.0),
            ["Shuffle", "Affine"],
        ),
        "one of two": (
            lambda x, _: x.unflatten(1, (3, 2)).softmax(2).flatten(1, 2),
            ["Shuffle", "Add", "Activation"],
        ),
        "one of two, moved": (
            lambda x, _: x.unflatten(1, (2, 3)).transpose(1, 2).softmax(2).flatten(1, 2),
            ["Shuffle", "Add", "Activation", "Shuffle"],
        ),
        "gated in parts": (
            lambda x, _: (
                x.unflatten(1, (2, 3)) * x.mean((2, 3)).view(-1, 2, 3, 1, 1).flip(1)
            ).sum(1),
            ["GlobalAverage", "Shuffle", "Unflatten", "Multiply", "Slice", "Slice", "Add"],
        ),
        "gated by rows": (
            lambda x, _: (
                x.unflatten(1, (2, 3)) * x[:, :2].mean(3).view(-1, 2, 1, 12, 1)
            ).sum(1),
            ["Slice", "GridPool", "Shuffle", "Multiply", "Slice", "Slice", "Add"],
        ),
        "gated for all": (
            lambda x, _: (x.unflatten(1, (2, 3)) * x[:, None, :1]).flatten(1, 2),
            ["Slice", "Multiply"],
        ),
    }.values(),
)  # fmt: skip
def test_what_is_written_without_modules(function: Any, found: list[str]) -> None:
    before = nn.Sequential(nn.Conv2d(3, 6, 1), nn.MaxPool2d(3, 1, 1))
    net, graph = lowered(before, Written(function))
    assert_the_same(net, graph)
    nodes = [node.operator.kind for node in graph.nodes if node.module.endswith("trunk.1")]
    assert nodes == found


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("padding", ["same", "outside"])
def test_padding_on_one_side_is_the_convolution_s(padding: str) -> None:
    conv: nn.Module = nn.Conv2d(3, 4, (2, 4), padding="same", dilation=(3, 1))
    if padding == "outside":
        conv = nn.Sequential(nn.ZeroPad2d((0, 1, 1, 2)), nn.Conv2d(3, 4, 3, 2))
    net, graph = lowered(conv)
    assert kinds(graph) == ["Conv", "GlobalAverage", "Linear"]
    assert_the_same(net, graph)


def test_padding_that_is_more_than_a_window_stays() -> None:
    net, graph = lowered(nn.ZeroPad2d((0, 3, 0, 0)), nn.Conv2d(3, 4, 3))
    assert kinds(graph) == ["Pad", "Conv", "GlobalAverage", "Linear"]
    assert_the_same(net, graph)


@pytest.mark.parametrize(
    "downsample", ["rnnpool", "renet", "mixed", "gated", "gfgp", "lift", "stride", "average"]
)
def test_every_way_to_shrink_a_map(downsample: str) -> None:
    torch.manual_seed(0)
    net = create_model("mobilenetv2_035", 4, downsample=downsample).eval()
    graph = build_graph(net, 64)
    assert_the_same(net, graph)
    assert graph.exit_macs == tuple(info.macs for info in net.exit_info(64))


@pytest.mark.parametrize("head", ["pooled", "mixed", "rex", "conv"])
def test_every_exit_head(head: str) -> None:
    torch.manual_seed(0)
    net = create_model("mobilenetv2_035", 4, exit_head=head).eval()
    assert_the_same(net, build_graph(net, 64))


def test_rex_is_one_node_and_the_blocks_are_named() -> None:
    graph = build_graph(create_model("rex_mobilenetv2_035", 4), 64)
    (rex,) = [node for node in graph.nodes if node.operator.kind == "ReX2d"]
    assert (rex.module, rex.block, rex.block_kind) == (
        *("stages.0.trunk.rex.rex", "stages.0.trunk.rex", "ReXBlock"),
    )
    blocks = {node.block_kind for node in graph.nodes}
    assert blocks == {"ConvNormAct", "ReXBlock", "InvertedResidual", "PooledExit"}


def test_what_a_stage_hands_on_keeps_its_name() -> None:
    graph = build_graph(create_model("msdnet_cifar10"), 32)
    written = {node.output for stage in graph.stages[:1] for node in stage.nodes}
    assert set(graph.stages[0].state) <= written
    assert set(graph.stages[1].state) & set(graph.stages[0].state) <= written
    assert len({node.output for node in graph.nodes}) == len(list(graph.nodes))


def test_it_prints_and_goes_into_json() -> None:
    graph = build_graph(create_model("rex_mobilenetv2_035", 4), 64)
    lines = str(graph).splitlines()
    assert lines[:3] == [
        "image  3x64x64  image",
        "stage 0",
        "  stages.0.trunk.stem.conv  16x32x32  Conv(act=relu6, kernel=(3, 3), stride=(2, 2), "
        "padding=(1, 1))  <- image",
    ]
    stored = json.loads(json.dumps(graph.to_dict()))
    assert stored["stages"][0]["nodes"][0]["macs"] == 16 * 27 * 32 * 32
    assert stored["stages"][0]["nodes"][0]["constants"] == {"weight": [16, 3, 3, 3], "bias": [16]}


class Odd(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(x.cumsum(2))


@pytest.mark.parametrize(
    ("head", "found"),
    [
        ([nn.Conv2d(6, 4, 1), nn.ReLU(), MEAN], ["Conv", *AVERAGE]),
        ([MEAN, nn.Conv2d(6, 5, 1), nn.ReLU(), nn.Conv2d(5, 4, 1)], [*AVERAGE, "Linear", "Linear"]),
        ([MEAN, nn.Conv2d(6, 4, 1, groups=2)], [*AVERAGE, "Conv", "Flatten"]),
    ],
)  # fmt: skip
def test_an_exit_that_is_a_map_of_one_pixel(head: list[nn.Module], found: list[str]) -> None:
    """SqueezeNet's, which averages its scores, and those that classify by a convolution."""
    torch.manual_seed(0)
    exit = nn.Sequential(*head, nn.Flatten())
    net = MultiExitNet([Stage(nn.Conv2d(3, 6, 3), exit)], 4).eval()
    graph = build_graph(net, 12)
    assert kinds(graph)[1:] == found
    assert graph.exit_macs == (net.exit_info(12)[0].macs,)
    assert_the_same(net, graph)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, _: x.unflatten(1, (3, 2)).softmax(1).flatten(1, 2),  # of three
        lambda x, _: x.softmax(1),
        lambda x, _: x * x.flatten(2).softmax(2).view(x.shape),
        lambda x, _: x * x.max(1, keepdim=True).indices,
    ],
)  # fmt: skip
def test_gates_without_a_form(function: Any) -> None:
    with pytest.raises(ExeuntError, match=r"stages.0.trunk.1: no plain operator for"):
        lowered(nn.Conv2d(3, 6, 1), Written(function))


def test_what_has_no_form_is_named_with_what_there_is() -> None:
    with pytest.raises(ExeuntError) as error:
        lowered(nn.Conv2d(3, 4, 1), Odd())
    said = str(error.value)
    assert said.startswith("stages.0.trunk.1: no plain operator for aten.cumsum.default of 4x12x12")
    assert "docs/operators.md lists those that there are" in said
    assert "\n" not in said


class Curious(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.sum() > 0 else x


def test_code_that_depends_on_values_is_refused() -> None:
    with pytest.raises(ExeuntError, match=r"stages.0: torch.export cannot follow its code \("):
        lowered(nn.Conv2d(3, 4, 1), Curious())


class Halved(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[-1] % 2 == 0
        return x


def test_sizes_that_a_network_does_not_take() -> None:
    net, _ = lowered(nn.Conv2d(3, 4, 1), Halved())
    with pytest.raises(ExeuntError, match=r"stages\.0 does not run on 3x13x13 \("):
        build_graph(net, 13)


def test_the_net_is_left_as_it_was() -> None:
    net = create_model("rex_mobilenetv2_035", 4).train()
    net.stages[0].trunk.stem.eval()
    modes = [module.training for module in net.modules()]
    names = [(name, type(module)) for name, module in net.named_modules()]
    build_graph(net, 64)
    assert [module.training for module in net.modules()] == modes
    assert [(name, type(module)) for name, module in net.named_modules()] == names


class LengthFirst(nn.Module):
    """Attention over pixels, the batch behind them, as torch's own has it by default."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(channels, 2)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).permute(2, 0, 1)
        attended, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        return attended.permute(1, 2, 0).reshape(x.shape)


def test_attention_whose_batch_does_not_come_first_is_counted() -> None:
    """Projections of 30 pixels in and out, and as many numbers for each pair of pixels, twice."""
    block = Block("attention", LengthFirst(8), 8)
    stages = chain([block], [0], lambda _, channels: make_exit("pooled", channels, 2))
    net = MultiExitNet(stages, 2, 8).eval()
    graph = build_graph(net, (6, 5), opaque=True)
    assert graph.exit_macs == (30 * 8 * 24 + 30 * 8 * 8 + 2 * 30 * 30 * 8 + 16,)
    assert graph.exit_macs == (net.exit_info((6, 5))[0].macs,)
    projected = [n for n in graph.nodes if n.operator.kind == "aten.linear.default"]
    assert [graph.elements(node.output) for node in projected] == [30 * 24, 30 * 8]
    assert make_plan(buffers_of(graph, 4)).arena_bytes >= 4 * 30 * 24
