"""The published RANets, against what was counted by building the published code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from exeunt.models import create_model
from exeunt.net import MultiExitNet

ANYTIME = (160, 256, 140, 188, 93, 117, 180, 204)


class Published(NamedTuple):
    """What was counted by building the published code.

    `cost` is cumulative, in millions, with ReLU and pooling; `bare` without; `channels` are those
    that the exits read.
    """

    name: str
    classes: int
    parameters: int
    cost: Sequence[float] | None = None
    bare: Sequence[float] | None = None
    channels: Sequence[int] | None = None


PUBLISHED = (
    Published(
        "ranet_cifar100",
        100,
        3_354_710,
        (15.83, 31.31, 44.69, 50.40, 60.71, 63.72, 90.26, 95.00),
        (15.75, 31.20, 44.50, 50.20, 60.37, 63.37, 89.60, 94.34),
        ANYTIME,
    ),
    Published(
        "ranet_cifar10",
        10,
        3_261_830,
        (15.81, 31.28, 44.66, 50.36, 60.65, 63.65, 90.17, 94.90),
        channels=ANYTIME,
    ),
    Published(
        "ranet_cifar_batch1",
        100,
        2_617_261,
        (8.37, 21.79, 32.88, 41.57, 53.28, 58.99),
        channels=(112, 208, 145, 241, 146, 218),
    ),
    Published(
        "ranet_cifar_batch2",
        100,
        5_186_987,
        (10.74, 24.16, 35.25, 43.94, 93.07, 114.68, 164.02, 175.74),
        channels=(112, 208, 145, 241, 410, 554, 355, 451),
    ),
    Published(
        "ranet_cifar_batch3",
        100,
        4_060_577,
        (10.75, 24.16, 35.25, 43.95, 55.66, 61.37, 105.64, 117.36),
    ),
    Published("ranet_cifar_batch1", 10, 2_547_601),
    Published("ranet_cifar_batch2", 10, 5_094_107),
    Published("ranet_cifar_batch3", 10, 3_967_697),
    Published(
        "ranet_imagenet",
        1000,
        149_144_186,
        (434.97, 888.67, 1153.36, 1352.45, 2279.91, 2588.47, 3235.52, 3333.48),
        (432.08, 885.62, 1149.96, 1348.99, 2275.01, 2583.51, 3228.41, 3326.35),
        (768, 1280, 716, 972, 975, 1231, 588, 716),
    ),
    Published(
        "ranet_imagenet_batch1",
        1000,
        131_123_991,
        (246.47, 631.16, 860.40, 1041.14, 1869.85, 2160.38, 2734.28, 2828.31),
    ),
)


def build(name: str, classes: int = 1000) -> MultiExitNet:
    """Large networks on the meta device: their shapes without their numbers."""
    with torch.device("meta" if "imagenet" in name else "cpu"):
        return create_model(name, classes).eval()


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda it: f"{it.name}-{it.classes}")
def test_the_published_networks(
    published: Published, reference_macs: Callable[..., list[float]]
) -> None:
    net = build(published.name, published.classes)
    size = 224 if "imagenet" in published.name else 32
    assert sum(p.numel() for p in net.parameters()) == published.parameters
    if published.cost is not None:
        assert reference_macs(net, size) == pytest.approx(published.cost, rel=1e-3)
    if published.bare is not None:
        assert reference_macs(net, size, bare=True) == pytest.approx(published.bare, rel=1e-3)
    if published.channels is not None:
        heads = [stage.exit.convs[0].conv.in_channels for stage in net.stages]
        assert heads == list(published.channels)


def test_channels_and_sizes_of_every_block_at_224_px() -> None:
    """As read in the published code: channels and size of the input, and of the output."""
    expected = {
        "sub0_block0": (256, 7, 768, 7),
        "sub0_block1": (768, 7, 1280, 7),
        "sub1_block0": (128, 14, 480, 14),
        "sub1_block1": (480, 14, 460, 7),
        "sub1_block2": (460, 7, 716, 7),
        "sub1_block3": (716, 7, 972, 7),
        "sub2_block0": (128, 28, 480, 28),
        "sub2_block1": (480, 28, 460, 14),
        "sub2_block2": (460, 14, 895, 14),
        "sub2_block3": (895, 14, 719, 7),
        "sub2_block4": (719, 7, 975, 7),
        "sub2_block5": (975, 7, 1231, 7),
        "sub3_block0": (64, 56, 240, 56),
        "sub3_block1": (240, 56, 230, 28),
        "sub3_block2": (230, 28, 447, 28),
        "sub3_block3": (447, 28, 359, 14),
        "sub3_block4": (359, 14, 608, 14),
        "sub3_block5": (608, 14, 460, 7),
        "sub3_block6": (460, 7, 588, 7),
        "sub3_block7": (588, 7, 716, 7),
    }
    net = build("ranet_imagenet")
    trace = {}

    def watch(name: str) -> Callable[..., None]:
        def hook(block: nn.Module, inputs: Any, out: tuple[Tensor, ...]) -> None:
            trace[name] = (*inputs[0].shape[1:3], *out[-1].shape[1:3])

        return hook

    blocks = {
        name: part
        for stage in net.stages
        for name, part in stage.trunk.named_children()
        if name.startswith("sub")
    }
    for name, block in blocks.items():
        block.register_forward_hook(watch(name))
    with torch.no_grad():
        net(torch.empty(1, 3, 224, 224, device="meta"))
    assert trace == expected
    made = {name for name, block in blocks.items() if block.transition is not None}
    assert made == {f"sub{i}_block{b}" for i, b in ((1, 1), (2, 1), (2, 3), (3, 1), (3, 3), (3, 5))}
