"""Small networks whose blocks, maps and costs can be told by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from exeunt.net import MultiExitNet, Stage
from exeunt.ops.exits import PooledExit


def conv(channels: int, out: int, stride: int = 1) -> nn.Conv2d:
    """3x3; on (channels, H, W) costs 9 * channels * out * H/stride * W/stride."""
    return nn.Conv2d(channels, out, 3, stride, padding=1, bias=False)


class Pyramid(nn.Module):
    """One block that makes maps of two sizes: (N, 4, H, W) and (N, 6, H/2, W/2)."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = conv(3, 4)
        self.coarse = conv(4, 6, stride=2)

    def forward(self, x: Tensor) -> list[Tensor]:
        fine = self.fine(x)
        return [fine, self.coarse(fine)]


class First(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pyramid = Pyramid()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.pyramid(x))


class Second(nn.Module):
    """Shrinks the fine map, writes both maps into one, and narrows that."""

    def __init__(self) -> None:
        super().__init__()
        self.shrink = conv(4, 2, stride=2)
        self.norm = nn.BatchNorm2d(2)
        self.mix = conv(8, 8)

    def forward(self, fine: Tensor, coarse: Tensor) -> tuple[Tensor, ...]:
        both = fine.new_zeros(len(fine), 8, *coarse.shape[2:])
        both[:, :6] = coarse
        both[:, 6:].copy_(self.norm(self.shrink(fine)).relu_())
        return fine, self.mix(both)


@pytest.fixture(scope="session")
def two_scales() -> Callable[[], MultiExitNet]:
    """Makes a net of two stages, with one map of each of two scales between them."""

    def make() -> MultiExitNet:
        stages = [Stage(First(), PooledExit(6, 2)), Stage(Second(), PooledExit(8, 2))]
        return MultiExitNet(stages, 2)

    return make


class Branches(nn.Module):
    """Three blocks that read the image side by side, and one that reads them all."""

    def __init__(self) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Conv2d(3, 8, k, padding=k // 2) for k in (1, 3, 5))
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.pool(torch.cat([branch(x) for branch in self.branches], 1))
        return out


@pytest.fixture(scope="session")
def branches() -> Callable[[], MultiExitNet]:
    """Makes a net whose blocks stand side by side."""
    return lambda: MultiExitNet([Stage(Branches(), PooledExit(24, 2))], 2)


@pytest.fixture(scope="session")
def plain_chain() -> Callable[[int], MultiExitNet]:
    """Makes a chain with a convolution, norm and ReLU for each exit."""

    def make(exits: int) -> MultiExitNet:
        stages = []
        for k in range(exits):
            trunk = nn.Sequential()
            trunk.add_module("conv", conv(4 if k else 3, 4))
            trunk.add_module("tail", nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(inplace=True)))
            stages.append(Stage(trunk, PooledExit(4, 2)))
        return MultiExitNet(stages, 2)

    return make
