"""Row by row, in one arena, against the whole network."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from exeunt.backbone import attach_exits
from exeunt.errors import ExeuntError
from exeunt.graph import build_graph, plan_stream, run_stream
from exeunt.graph.operators import Composite
from exeunt.graph.running_rex import RunningReX
from exeunt.models import create_model
from exeunt.net import MultiExitNet
from exeunt.ops.rex import ReX2d

SMALL_RESNET = {"layers": (1, 2, 3, 1), "widths": (8, 8, 16, 24)}
SMALL_MSDNET = {"base": 2, "step": 1, "blocks": 3, "width": 4, "growth": 2, "exit_width": 8}
SMALL_RANET = {"width": 4, "growth": 4, "step": 1, "exit_width": 8, "scales": (1, 2)}
SMALL_RANET |= {"factors": (2, 1)}


def shaken(net: MultiExitNet) -> MultiExitNet:
    """Batch norms that are not 1 and 0, in evaluation mode."""
    torch.manual_seed(1)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
    return net.eval()


@pytest.mark.parametrize(
    ("name", "arguments", "size"),
    [
        ("rex_mobilenetv2_035", {}, (64, 64)),
        ("rex_mobilenetv2_035", {}, (50, 37)),
        (
            "rex_mobilenetv2_035",
            {"rex_form": {"cell": "mingru", "norm": True, "blocks": 1}},
            (50, 37),
        ),
        ("mobilenetv2_035", {}, (64, 48)),
        ("mobilenetv2_035", {"exit_head": "mixed"}, (64, 64)),
        ("rex_resnet34", SMALL_RESNET, (64, 64)),
        ("resnet34", SMALL_RESNET, (45, 64)),
        ("densenet121", {"layers": (1, 2, 2, 1), "growth": 4, "width": 8}, (64, 64)),
        ("msdnet_cifar10", SMALL_MSDNET, (32, 32)),
        ("ranet_cifar10", SMALL_RANET, (32, 32)),
        ("mobilenetv2_035", {"downsample": "mixed"}, (64, 64)),
    ],
)
def test_row_by_row_is_the_same(
    name: str, arguments: dict[str, Any], size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    net = shaken(create_model(name, 5, **arguments))
    plan = plan_stream(build_graph(net, size), 4)
    image = torch.randn(3, *size)
    with torch.no_grad():
        wanted = net(image[None])
    found = run_stream(plan, image)
    assert len(found) == net.num_exits
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs[0], rtol=0, atol=2e-6 * theirs.abs().max().item())
    assert plan.bound_bytes <= plan.arena_bytes


@pytest.mark.parametrize(
    "block",
    [
        nn.Conv2d(3, 4, (3, 5), (2, 1), (1, 2), dilation=(2, 1)),
        nn.MaxPool2d(3, 2, 1),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
        nn.AvgPool2d(3, 2, 1),
        nn.AvgPool2d(2, ceil_mode=True),
        nn.AdaptiveAvgPool2d((3, 5)),
        nn.AdaptiveMaxPool2d((4, 4)),
        nn.Upsample((17, 9), mode="bilinear"),
        nn.Upsample((7, 20), mode="bilinear", align_corners=True),
        nn.ZeroPad2d((1, 2, 3, 1)),
        nn.Sequential(nn.Hardswish(), nn.BatchNorm2d(3)),
        nn.Sequential(nn.Conv2d(3, 6, 1, padding=1), nn.Conv2d(6, 6, 3, groups=6)),
        nn.Sequential(
            *[
                layer
                for _ in range(3)
                for layer in (nn.Conv2d(3, 3, 3, groups=3, padding=1), nn.Conv2d(3, 3, 1))
            ]
        ),
    ],
    ids=lambda block: type(block).__name__,
)
def test_operators_one_by_one(block: nn.Module) -> None:
    torch.manual_seed(0)
    channels = block.eval()(torch.zeros(1, 3, 13, 12)).shape[1]
    backbone = nn.Sequential(nn.Conv2d(3, 3, 1), block, nn.Conv2d(channels, 4, 1))
    net = shaken(attach_exits(backbone, [-1], 4, image_shape=(3, 13, 12)))
    image = torch.randn(3, 13, 12)
    with torch.no_grad():
        (wanted,) = net(image[None])
    (found,) = run_stream(plan_stream(build_graph(net, (13, 12)), 4), image)
    torch.testing.assert_close(found, wanted[0], rtol=1e-5, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"padding": "replicate_out"},
        {"patch_size": (3, 5), "stride": (5, 2), "padding": 1},
        {"patch_size": 4, "cell": "lstm"},
        {"patch_size": 5, "stride": 2, "cell": "fastgrnn", "shared_directions": True},
        {"patch_size": 5, "stride": 2, "cell": "mingru"},
        {"use_rows": False},
        {"use_global": False},
        {"patch_size": 8, "cell": "rnn", "padding": (2, 0)},
    ],
    ids=str,
)
def test_rex_fed_by_rows(settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    rex = ReX2d(5, 7, 3, **{"patch_size": 6, "stride": 4, **settings})
    maps = torch.randn(1, 5, 23, 30)
    running = RunningReX(rex, 23, 30)
    most = 0
    for row in maps[0].unbind(1):
        running.take(row)
        most = max(most, len(running.under_way))
    wanted = rex(maps)[0]
    found = torch.stack([running.row(number) for number in range(wanted.shape[1])], 1)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)
    assert most <= -(-running.rows.size // running.rows.hop)
    assert len(running.summaries) <= running.rows.size


@torch.no_grad()
@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({"patch_size": (6, 8), "stride": 4, "padding": 0}, (6, 30)),
        ({"patch_size": (8, 6), "stride": 4, "padding": 0}, (30, 6)),
        ({"patch_size": (2, 9), "stride": (3, 7), "padding": "replicate_out"}, (21, 10)),
        ({"patch_size": (1, 3), "stride": (4, 2), "padding": (3, 1)}, (9, 20)),  # padding alone
        ({"patch_size": (3, 2), "stride": (5, 1), "padding": (1, 0)}, (12, 5)),
    ],
    ids=str,
)
def test_rex_of_what_is_not_square(settings: dict[str, Any], size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(3, 5, 1), ReX2d(5, 4, 2, **settings))
    net = attach_exits(backbone, [-1], 4, image_shape=(3, *size)).eval()
    graph, image = build_graph(net, size), torch.randn(3, *size)
    (found,) = run_stream(plan_stream(graph, 4), image)
    torch.testing.assert_close(found, net(image[None])[0][0], rtol=1e-5, atol=1e-6)
    assert plan_stream(graph, 1).arena_bytes < plan_stream(graph, 4).arena_bytes


def test_rows_that_rex_makes_nothing_of(sketch: type[Any]) -> None:
    """Patches of two rows every four: rows between them go as soon as they are taken in."""
    net = sketch(3, 14, 5)
    maps = net.conv("image", 3)
    rex = ReX2d(3, 4, 2, (2, 3), (4, 1), 0)
    net.exit(net.add(Composite("ReX2d", rex.eval()), maps))
    plan = plan_stream(net.graph(), 4)
    lives = [span for spans in plan.row_buffers[plan.home[maps]].spans for span in spans]
    assert all(last - first <= 1 for first, last in lives)


def test_as_many_rows_as_their_slowest_reader_needs() -> None:
    """A 3x3 filter reads three rows of what comes before it, one of stride 2 too."""
    backbone = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, 2, padding=1), nn.Conv2d(4, 2, 1)
    )
    net = attach_exits(backbone, [-1], 2, image_shape=(3, 16, 16))
    plan = plan_stream(build_graph(net, 16), 1)
    events = len(plan.schedule.events)
    slots = {
        s.name: (s.live_bytes(events).max() / s.row_bytes, s.row_bytes) for s in plan.row_buffers
    }
    assert slots["image"] == (3, 48)
    assert slots["stages.0.trunk.0"] == (3, 64)
    assert slots["stages.0.trunk.1"] == (1, 32)
    assert slots["stages.0.trunk.2"] == (1, 16)
    assert slots["stages.0.exit (kept)"] == (1, 8)


def test_what_lies_over_each_other_shows() -> None:
    torch.manual_seed(0)
    net = create_model("rex_mobilenetv2_035", 4).eval()
    plan = plan_stream(build_graph(net, 64), 4)
    image = torch.randn(3, 64, 64)
    stem = plan.home["stages.0.trunk.stem.conv"]
    kept = [strip.name for strip in plan.row_buffers].index("stages.0.trunk.rex.norm (kept)")
    offsets = list(plan.offsets_bytes)
    offsets[stem] = offsets[kept] * len(offsets[stem])
    with pytest.raises(
        ExeuntError, match=r"stages.0.trunk.rex.norm \(kept\): its place was written to"
    ):
        run_stream(replace(plan, offsets_bytes=tuple(offsets)), image)
    offsets[stem] = offsets[plan.home["image"]]
    (first, *_) = run_stream(replace(plan, offsets_bytes=tuple(offsets)), image)
    with torch.no_grad():
        wanted = net(image[None])[0][0]
    assert not torch.allclose(first, wanted, rtol=1e-3, atol=0)


def test_int8_on_a_microcontroller() -> None:
    """Table 1's network at 224 px and 1000 classes: the aim is at most 52 KiB, better 44."""
    graph = build_graph(create_model("rex_mobilenetv2"), 224)
    plan = plan_stream(graph, 1)
    assert plan.arena_bytes == plan.bound_bytes == 43680
    assert plan_stream(graph, 1) == plan
    assert plan_stream(graph, 1, image=False).arena_bytes == 43680 - 3 * 3 * 224
    aligned = plan_stream(graph, 1, align_bytes=16)
    assert all(offset % 16 == 0 for offsets in aligned.offsets_bytes for offset in offsets)


@pytest.mark.parametrize(("cell", "states"), [("gru", 1), ("lstm", 2), ("rnn", 1)])
def test_what_rex_keeps_by_hand(cell: str, states: int) -> None:
    """32 x 32 behind a convolution, patches of 6 x 6 every 4: 8 across, two rows of them under way.

    A column sweep for each of 34 columns (one of padding on either side) in both, two row sweeps,
    and 6 rows of 8 summaries; 16 numbers each, of 2 bytes in int8.
    """
    backbone = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), ReX2d(8, 16, 3, 6, 4, cell=cell))
    net = attach_exits(backbone, [-1], 4, image_shape=(3, 64, 64))
    plan = plan_stream(build_graph(net, 64), 1)
    (kept,) = [strip for strip in plan.row_buffers if strip.name == "stages.0.trunk.1 (kept)"]
    assert kept.row_bytes == 2 * 16 * (states * (2 * 34 + 2) + 6 * 8)
