from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from exeunt.ops.exits import make_exit
from exeunt.ops.macs import HANDLERS, count_macs, counting_macs
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


class Attention(nn.Module):
    """Heads of 5 channels over all pixels, written by hand: two products without parameters."""

    def __init__(self, channels: int, fused: bool) -> None:
        super().__init__()
        self.qkv, self.fused = nn.Conv2d(channels, 3 * channels, 1), fused

    def forward(self, x: Tensor) -> Tensor:
        parts = self.qkv(x).flatten(2).unflatten(1, (-1, 5)).transpose(2, 3)
        q, k, v = parts.chunk(3, dim=1)
        if self.fused:
            out = F.scaled_dot_product_attention(q, k, v)
        else:
            out = (q @ k.mT * 5**-0.5).softmax(-1) @ v
        return out.mT.reshape(x.shape)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("wanted", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_products_without_parameters_count(fused: bool, images: int, wanted: Any) -> None:
    """10 channels, 8x6 pixels: 48 x 10 x 30 for the projection, 2 x 48 x 48 x 10 for the rest."""
    with wanted():
        count = count_macs(Attention(10, fused).eval(), torch.randn(images, 10, 8, 6))
    assert count.by_module == {"qkv": 48 * 10 * 30, "": 2 * 48 * 48 * 10}
    assert count.uncounted == []


@pytest.mark.parametrize(
    ("module", "shape", "macs"),
    [
        (nn.ConvTranspose2d(3, 4, 2, 2), (1, 3, 5, 6), 30 * 3 * 4 * 4),
        (nn.Conv1d(3, 4, 3, padding=1), (1, 3, 10), 10 * 4 * 9),
        (nn.MultiheadAttention(8, 2, batch_first=True), (1, 6, 8), 6 * 8 * 32 + 2 * 6 * 6 * 8),
        (nn.LSTM(3, 4, num_layers=2, bidirectional=True), (7, 1, 3), 7 * 32 * (3 + 4 + 8 + 4)),
        (nn.GRU(8, 16, batch_first=True), (16, 6, 8), 16 * 6 * 3 * 16 * (8 + 16)),
        (nn.GRUCell(3, 4), (1, 3), 12 * 7),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_modules_of_torch_by_hand(module: nn.Module, shape: tuple[int, ...], macs: int) -> None:
    attention = isinstance(module, nn.MultiheadAttention)
    x = torch.randn(shape)
    with torch.no_grad():
        count = count_macs(module.eval(), *[x] * (3 if attention else 1))
    assert (count.total * count.images, count.uncounted) == (macs, [])
    assert torch.backends.mha.get_fastpath_enabled()


class SameConv(nn.Conv2d):
    """A subclass that runs its own code, as timm's for TensorFlow's padding."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (0, 1, 0, 1)), self.weight, self.bias, 2)


def test_subclasses_count_as_what_they_run_or_by_the_rule_of_their_class() -> None:
    class Mine(ReX2d):
        pass

    assert count_macs(SameConv(3, 4, 3), torch.randn(1, 3, 8, 8)).total == 16 * 4 * 27
    rex = Mine(4, 3, 2, 3, 2)
    assert count_macs(rex, torch.randn(2, 4, 9, 8)).by_module == {"": rex.macs(9, 8).shared}


def test_a_rule_for_a_module_hides_nothing_that_it_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.scale = nn.Conv2d(4, 4, 3), nn.Parameter(torch.ones(4, 4))

        def forward(self, x: Tensor) -> Tensor:
            return torch.einsum("nchw,cd->ndhw", self.conv(x), self.scale)

    x = torch.randn(1, 4, 6, 6)
    conv, scale = 16 * 4 * 36, 16 * 4 * 4
    assert count_macs(Scaled(), x).by_module == {"conv": conv, "": scale}
    monkeypatch.setitem(HANDLERS, Scaled, lambda module, inputs, output: 7)
    assert count_macs(Scaled(), x).by_module == {"conv": conv, "": 7}


class Far(nn.Module):
    """Distances, which are a matrix product that no formula is known for."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cdist(x.flatten(2), x.flatten(2))


def test_a_module_with_a_rule_runs_as_if_nobody_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ruled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)
            self.seen: list[int] = []

        def forward(self, x: Tensor) -> Tensor:
            self.seen.append(torch._C._len_torch_dispatch_stack())
            out = self.conv(x) @ x
            self.seen.append(torch._C._len_torch_dispatch_stack())
            return out

    monkeypatch.setitem(HANDLERS, Ruled, lambda module, inputs, output: 7)
    net = nn.Sequential(Ruled(), nn.Conv2d(3, 2, 1))
    with counting_macs(net[0]) as outer:
        count = count_macs(net, torch.randn(1, 3, 4, 4))
    assert count.by_module == {"0.conv": 16 * 9, "0": 7, "1": 16 * 6}
    assert outer.by_module == {"conv": 16 * 9, "": 7 + 16 * 6}
    assert net[0].seen == [1, 1], "the outer one looks on, since it cannot step aside"
    count_macs(net, torch.randn(1, 3, 4, 4))
    assert net[0].seen[2:] == [0, 0]


def test_what_cannot_be_counted_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), Far())
    count = count_macs(net, torch.randn(2, 3, 4, 4))
    assert count.uncounted == ["1 (aten._cdist_forward.default)"]
    monkeypatch.setitem(HANDLERS, Far, lambda module, inputs, output: 10)
    count = count_macs(net, torch.randn(2, 3, 4, 4))
    assert (count.uncounted, count.by_module) == ([], {"0": 16 * 12, "1": 5})


def test_operators_from_elsewhere_are_named() -> None:
    @torch.library.custom_op("exeunt_tests::twice", mutates_args=())
    def twice(x: Tensor) -> Tensor:
        return 2 * x

    class Twice(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return twice(x)

    count = count_macs(nn.Sequential(Twice()), torch.randn(1, 3))
    assert count.uncounted == ["0 (exeunt_tests.twice.default)"]


def test_nothing_is_left_behind() -> None:
    class Fails(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("no")

    net = nn.Sequential(nn.Linear(2, 2), Fails())
    with pytest.raises(RuntimeError, match="no"):
        count_macs(net, torch.randn(1, 2))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    assert torch._C._len_torch_dispatch_stack() == 0
