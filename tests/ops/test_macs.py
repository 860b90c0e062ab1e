from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from exeunt.ops.exits import make_exit
from exeunt.ops.macs import count_macs
from exeunt.ops.rex import ReX2d


def test_hand_made_numbers() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),  # 5x4 outputs of 8x27
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),  # 5x4 outputs of 8x9
        nn.Flatten(),
        nn.Linear(160, 7),
    )
    count = count_macs(net, torch.randn(1, 3, 10, 8))
    assert count.by_module == {"0": 20 * 8 * 27, "2": 20 * 8 * 9, "4": 160 * 7}
    assert count.total == 4320 + 1440 + 1120
    assert count.uncounted == []


def test_counts_one_image_whatever_the_batch() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    sizes = [count_macs(net, torch.randn(n, 3, 10, 8)).total for n in (1, 5)]
    assert sizes[0] == sizes[1]


def test_agrees_with_the_flop_counter_of_torch() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, 1, 1, groups=4),
        make_exit("mixed", 32, 9),
    )
    x = torch.randn(1, 3, 32, 32)
    with FlopCounterMode(display=False) as flops:
        net(x)
    assert count_macs(net, x).total == flops.get_total_flops() // 2


def test_rex_counts_as_its_formula_and_children_not_twice() -> None:
    rex = ReX2d(4, 3, 2, 3, 2)
    count = count_macs(nn.Sequential(rex), torch.randn(1, 4, 9, 8))
    assert count.by_module == {"0": rex.macs(9, 8).shared}


def test_what_cannot_be_counted_is_named() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ self.scale

    count = count_macs(nn.Sequential(nn.Identity(), Odd()), torch.randn(2, 3))
    assert count.uncounted == ["1"]


def test_hooks_are_gone_afterwards() -> None:
    net = nn.Linear(2, 2)
    count_macs(net, torch.randn(1, 2))
    assert not net._forward_hooks
