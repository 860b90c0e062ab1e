"""MSDNet's published networks: figures counted on the published code.

Only `lazy=False` runs the same operations before each exit.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from exeunt.models import create_model

STEM_MACS = 112 * 112 * 32 * 147


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("kwargs", "count", "macs"),
    [
        ({}, 23_958_440, [339.90, 685.46, 1008.16, 1254.47, 1360.53]),
        ({"base": 5, "step": 5}, 38_754_952, [422.73, 933.85, 1453.51, 1915.23, 2156.91]),
        ({"base": 6, "step": 6}, 56_529_304, [514.66, 1171.18, 1844.52, 2501.40, 2742.06]),
        ({"base": 7, "step": 7}, 62_314_472, [615.69, 1436.39, 2283.21, 2967.42, 3253.79]),
        (
            {"step": 2, "blocks": 6},
            20_919_760,
            [339.90, 513.55, 671.56, 814.90, 968.95, 1020.05],
        ),
        (
            {"base": 2, "step": 2, "blocks": 6},
            12_408_752,
            [201.55, 353.16, 477.88, 587.34, 664.96, 701.41],
        ),
        ({"blocks": 6}, 40_367_232, [339.90, None, None, None, None, 1841.98]),
    ],
)
def test_imagenet_networks_match_published_code(
    reference_macs: Callable[..., list[float]],
    kwargs: dict[str, Any],
    count: int,
    macs: list[float | None],
) -> None:
    """Parameters to the unit, cost to the digits known (counted on published code)."""
    net = create_model("msdnet_imagenet", lazy=False, **kwargs)
    assert parameters(net) == count
    for cost, known in zip(reference_macs(net, 224), macs, strict=True):
        assert known is None or cost == pytest.approx(known, abs=0.006)


@pytest.mark.parametrize(
    ("name", "kwargs", "count", "macs"),
    [
        (
            "msdnet_cifar10",
            {},
            4_955_644,
            [15.14, 25.51, 37.79, 52.06, 62.18, 74.07, 87.73, 100.04, 110.12, 121.68],
        ),
        (
            "msdnet_cifar10",
            {"blocks": 7},
            3_067_960,
            [15.14, 25.51, 37.10, 46.33, 57.34, 66.96, 75.94],
        ),
        ("msdnet_cifar_batch5", {}, 2_078_924, [6.86, 14.35, 27.54, 41.71, 58.48]),
        (
            "msdnet_cifar_batch7",
            {},
            3_966_664,
            [6.86, 14.35, 27.29, 48.45, 76.43, 108.85, 137.28],
        ),
    ],
)
def test_cifar_networks_match_published_code(
    reference_macs: Callable[..., list[float]],
    name: str,
    kwargs: dict[str, Any],
    count: int,
    macs: list[float],
) -> None:
    net = create_model(name, 100, lazy=False, **kwargs)
    assert parameters(net) == count
    assert reference_macs(net, 32) == pytest.approx(macs, abs=0.006)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("msdnet", 4_839_544),
        ("msdnet_cifar10", 4_839_544),
        ("msdnet_cifar_batch5", 2_020_874),
        ("msdnet_cifar_batch7", 3_885_394),
    ],
)
def test_parameters_for_cifar10(name: str, count: int) -> None:
    for lazy in (True, False):
        assert parameters(create_model(name, 10, lazy=lazy)) == count


def test_imagenet_exits_match_published_code() -> None:
    net = create_model("msdnet_imagenet", lazy=False)
    reached = itertools.accumulate(parameters(stage) for stage in net.stages)
    assert [round(count / 1e6, 2) for count in reached] == [4.24, 8.77, 13.07, 16.75, 23.96]
    for larger, channels in (
        (net, [384, 384, 352, 304, 560]),
        (create_model("msdnet_imagenet_step7", lazy=False), [576, 640, 608, 528, 976]),
    ):
        assert [stage.exit.convs[0].conv.in_channels for stage in larger.stages] == channels
        assert [stage.exit.classifier.in_features for stage in larger.stages] == channels


def test_a_lazy_first_exit_is_cheaper_and_the_last_costs_the_same() -> None:
    macs = [info.macs for info in create_model("msdnet_imagenet").exit_info(224)]
    eager = [info.macs for info in create_model("msdnet_imagenet", lazy=False).exit_info(224)]
    assert (macs[0] / 1e6, eager[0] / 1e6) == pytest.approx((253.72, 337.21), abs=0.01)
    assert macs[-1] == eager[-1]
    assert all(mine <= theirs for mine, theirs in zip(macs, eager, strict=True))


def test_rex() -> None:
    """The tail as counted independently, 12.66 M parameters and 411 M MACs; stem and ReX added."""
    net = create_model("rex_msdnet", rex_form="paper")
    first = net.stages[0].trunk.scale0_layer0
    rex = first.rex
    assert (rex.patch_size, rex.stride, rex.hidden1, rex.hidden2) == ((6, 6), (4, 4), 16, 8)
    assert parameters(rex) == 9_824
    tail = parameters(net) - parameters(first)
    assert tail == pytest.approx(12.66e6, abs=0.005e6)
    assert parameters(net) == pytest.approx(12.7e6, abs=0.05e6), "the paper's"
    infos = net.exit_info(224)
    costs = [info.macs - STEM_MACS - rex.macs(112, 112).shared for info in infos]
    assert costs[-1] == pytest.approx(411e6, abs=0.5e6)
    assert len(infos) == 6
    _, state = net.eval().step(0, net.begin(torch.randn(1, 3, 224, 224)))
    assert [tuple(part.shape[2:]) for part in state] == [(28, 28), (14, 14), (7, 7)]
    with torch.no_grad():
        assert first(torch.randn(1, 3, 224, 224)).shape == (1, 64, 28, 28)
    wide = create_model("rex_msdnet", growth=16, rex_form="paper")
    assert parameters(wide) == pytest.approx(19.3e6, abs=0.05e6)
