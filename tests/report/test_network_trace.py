from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from exeunt.errors import ExeuntError
from exeunt.models import create_model
from exeunt.net import MultiExitNet, Stage
from exeunt.ops.exits import ExitHead, PooledExit
from exeunt.report.network_trace import IMAGE, MapSize, Source, trace_network


def test_maps_of_two_scales(two_scales: Callable[[], MultiExitNet]) -> None:
    trace = trace_network(two_scales(), (8, 12))
    assert trace.images == (MapSize(3, 8, 12),)
    seen = [(block.name, block.kind, block.stage, block.maps) for block in trace.blocks]
    fine, coarse = MapSize(4, 8, 12), MapSize(6, 4, 6)
    assert seen == [
        ("stages.0.trunk.pyramid", "Pyramid", 0, (fine, coarse)),
        ("stages.1.trunk.shrink", "Conv2d", 1, (MapSize(2, 4, 6),)),
        ("stages.1.trunk.mix", "Conv2d", 1, (MapSize(8, 4, 6),)),
    ]
    assert str(coarse) == "6 \N{MULTIPLICATION SIGN} 4 \N{MULTIPLICATION SIGN} 6"
    assert trace.map_of(Source(0, 1)) == coarse


def test_costs(two_scales: Callable[[], MultiExitNet]) -> None:
    net = two_scales()
    trace = trace_network(net, (8, 12))
    pyramid = 9 * 3 * 4 * 96 + 9 * 4 * 6 * 24
    shrink, mix = 9 * 4 * 2 * 24, 9 * 8 * 8 * 24
    assert [block.macs for block in trace.blocks] == [pyramid, shrink, mix]
    assert [leave.macs for leave in trace.exits] == [12, 16]
    assert [leave.info.macs for leave in trace.exits] == [
        pyramid + 12,
        pyramid + 12 + shrink + mix + 16,
    ]
    assert trace.parameters == sum(p.numel() for p in net.parameters())


def test_who_reads_whom(two_scales: Callable[[], MultiExitNet]) -> None:
    trace = trace_network(two_scales(), 8)
    fine, coarse = Source(0, 0), Source(0, 1)
    reads = [block.reads for block in trace.blocks]
    assert reads == [(Source(IMAGE, 0),), (fine,), (coarse, Source(1, 0))]
    assert [leave.reads for leave in trace.exits] == [(coarse,), (Source(2, 0),)]


def test_norms_and_activations_are_no_blocks(plain_chain: Callable[[int], MultiExitNet]) -> None:
    trace = trace_network(plain_chain(3), 8)
    assert [block.name for block in trace.blocks] == [f"stages.{k}.trunk.conv" for k in range(3)]
    assert [leave.reads for leave in trace.exits] == [(Source(k, 0),) for k in range(3)]


class Around(nn.Module):
    """One convolution twice, the second time on what interpolation and a slice make of two maps."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.steps = nn.ModuleList([nn.MaxPool2d(2), nn.Conv2d(4, 4, 1)])

    def forward(self, x: Tensor) -> Tensor:
        pool, conv = self.steps
        first = self.stem(x)
        second = conv(pool(first))
        larger = nn.functional.interpolate(second, scale_factor=2.0, mode="bilinear")
        out: Tensor = conv(torch.cat((first, larger), 1)[:, 2:6])
        return out


def test_a_module_that_runs_twice_is_two_blocks() -> None:
    trace = trace_network(MultiExitNet([Stage(Around(), PooledExit(4, 2))], 2), 8)
    kinds = [block.kind for block in trace.blocks]
    assert kinds == ["Conv2d", "MaxPool2d", "Conv2d", "Conv2d"]
    assert trace.blocks[2].name == trace.blocks[3].name == "stages.0.trunk.steps.1"
    assert [block.macs for block in trace.blocks] == [12 * 64, 0, 16 * 16, 16 * 64]
    assert [block.reads for block in trace.blocks][2:] == [
        (Source(1, 0),),
        (Source(0, 0), Source(2, 0)),
    ]


def test_a_module_in_two_stages_belongs_to_the_one_that_runs() -> None:
    shared = nn.Conv2d(3, 3, 1)
    stages = [Stage(nn.Sequential(shared), PooledExit(3, 2)) for _ in range(2)]
    trace = trace_network(MultiExitNet(stages, 2), 4)
    assert [block.stage for block in trace.blocks] == [0, 1]
    assert [block.reads for block in trace.blocks] == [(Source(IMAGE, 0),), (Source(0, 0),)]


def test_a_trunk_may_be_one_operator() -> None:
    net = MultiExitNet([Stage(nn.Conv2d(3, 5, 1), PooledExit(5, 2))], 2)
    (block,) = trace_network(net, 4).blocks
    assert (block.name, block.maps) == ("stages.0.trunk", (MapSize(5, 4, 4),))


@pytest.mark.parametrize("name", ["rex_mobilenetv2_035", "rex_resnet34", "densenetbc_cifar"])
def test_costs_of_blocks_and_heads_add_up(name: str) -> None:
    with torch.device("meta"):
        net = create_model(name, 10)
    trace = trace_network(net, 64)
    parts = [block.macs for block in trace.blocks] + [leave.macs for leave in trace.exits]
    assert sum(parts) == trace.exits[-1].info.macs
    assert [block.kind for block in trace.blocks if block.recurrent] == ["ReXBlock"] * (
        "rex" in name
    )
    for b, block in enumerate(trace.blocks):
        assert block.reads
        assert all(read.block < b for read in block.reads)


def test_recurrent_heads() -> None:
    with torch.device("meta"):
        net = create_model("mobilenetv2_035", 10, exit_head="rex")
    trace = trace_network(net, 64)
    assert [leave.recurrent for leave in trace.exits] == [True] * 5 + [False]
    assert {leave.kind for leave in trace.exits} == {"ReXExit", "PooledExit"}


def test_numbers_are_the_same_without_memory(two_scales: Callable[[], MultiExitNet]) -> None:
    nets = [two_scales(), create_model("rex_mobilenetv2_035", 10)]
    with torch.device("meta"):
        bare = [two_scales(), create_model("rex_mobilenetv2_035", 10)]
    for net, shapes in zip(nets, bare, strict=True):
        assert trace_network(net, 32) == trace_network(shapes, 32)


def test_the_net_is_left_as_it_was(two_scales: Callable[[], MultiExitNet]) -> None:
    net = two_scales()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    trace_network(net, 8)
    assert net.training
    for key, value in net.state_dict().items():
        assert torch.equal(value, before[key])
    for module in net.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


class Telling(Stage):
    """Adds the earlier logits, which end the state, to its own."""

    def advance(self, *state: Tensor) -> tuple[Tensor, ...]:
        return *super().advance(state[0]), *state[1:]

    def feature(self, *state: Tensor) -> Tensor:
        return state[0]

    def forward(self, *state: Tensor) -> tuple[Tensor, ...]:
        x, *earlier = self.advance(*state)
        logits = self.exit(x + sum(part.mean() for part in earlier))
        return logits, x, logits


def test_logits_lead_to_no_line() -> None:
    stages = [Telling(nn.Conv2d(channels, 4, 1), PooledExit(4, 2)) for channels in (3, 4)]
    trace = trace_network(MultiExitNet(stages, 2), 8)
    assert [leave.reads for leave in trace.exits] == [(Source(0, 0),), (Source(1, 0),)]


class Head(ExitHead):
    def __init__(self) -> None:
        super().__init__(4, 2)
        self.scale = nn.Parameter(torch.ones(1))

    def reduce(self, x: Tensor) -> Tensor:
        return self.scale * torch.cdist(x, x).mean((2, 3))


def test_unknown_costs_are_an_error() -> None:
    net = MultiExitNet([Stage(nn.Conv2d(3, 4, 1), Head())], 2)
    with pytest.raises(ExeuntError, match=r"stages\.0\.exit \(aten\._cdist"):
        trace_network(net, 4)
