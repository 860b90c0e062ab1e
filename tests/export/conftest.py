"""Small networks with exits, and images for them."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from exeunt.backbone import attach_exits
from exeunt.chain import Block, chain
from exeunt.export.c.host import build_host
from exeunt.graph import Graph
from exeunt.graph.fuse import InvertedResidual as FusedResidual
from exeunt.graph.fuse import fuse
from exeunt.graph.streamed import Draft, StreamedPlan
from exeunt.graph.ways import with_recomputed
from exeunt.models import create_model
from exeunt.net import MultiExitNet
from exeunt.ops.conv import ConvNormAct, InvertedResidual, init_conv_net
from exeunt.ops.exits import make_exit
from exeunt.ops.rex import ReX2d
from exeunt.policies import Policy

CLASSES = 5
GAP, MARK = 64, 0xA5

MakeNet = Callable[[], MultiExitNet]
Pixels = NDArray[np.uint8]


@pytest.fixture(scope="session")
def lively() -> Callable[[MultiExitNet, Tensor], MultiExitNet]:
    """Gives a fresh net, in place, batch norms that spread what these images (N, C, H, W) make of
    it, and large classifiers, so that scores tell images apart.
    """

    @torch.no_grad()
    def set_batch_statistics(net: MultiExitNet, inputs: Tensor) -> MultiExitNet:
        generator = torch.Generator().manual_seed(1)
        norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
        for norm in norms:
            norm.weight.uniform_(0.5, 1.5, generator=generator)
            norm.bias.normal_(0, 0.3, generator=generator)
            norm.momentum = 1.0
        for stage in net.stages:
            stage.exit.classifier.weight.normal_(0, 1, generator=generator)
        for norm in norms:
            norm.train()
        net(inputs)
        return net.eval()

    return set_batch_statistics


@pytest.fixture(scope="session")
def chained() -> Callable[..., MultiExitNet]:
    """Makes a net of modules and the channels that they put out, with exits after some."""

    def make(
        in_chans: int, links: Sequence[tuple[nn.Module, int]], ends: Sequence[int]
    ) -> MultiExitNet:
        blocks = [Block(f"block{k}", *link) for k, link in enumerate(links)]
        stages = chain(blocks, ends, lambda _, channels: make_exit("pooled", channels, CLASSES))
        net = MultiExitNet(stages, CLASSES, in_chans)
        init_conv_net(net)
        return net.eval()

    return make


def large_residual(channels: int, stride: int, hidden: int) -> nn.Module:
    """An inverted residual of 5x5 that adds nothing."""
    return nn.Sequential(
        ConvNormAct(channels, hidden),
        ConvNormAct(hidden, hidden, 5, stride, groups=hidden),
        ConvNormAct(hidden, channels, act=None),
    )


@pytest.fixture(scope="session")
def every_kernel(chained: Callable[..., MultiExitNet]) -> MakeNet:
    """A net for 1x37x41 with channels that no block of a kernel divides: all kinds of
    convolution, ReX, batch norm alone, inverted residuals that expand, add, and filter at once.
    """

    def make() -> MultiExitNet:
        torch.manual_seed(0)
        wide, wider = large_residual(10, 1, 14), large_residual(12, 2, 13)
        sideways = nn.Conv2d(12, 12, (3, 5), (1, 2), (1, 2), groups=12)
        upright = nn.Conv2d(20, 9, (5, 1), padding=(2, 0), bias=False)
        links = [
            (ConvNormAct(1, 10, 3, 2), 10),
            (wide, 10),
            (ReX2d(10, 5, 3, (5, 4), (3, 2)), 24),
            (nn.Sequential(nn.BatchNorm2d(24), nn.ReLU()), 24),
            (InvertedResidual(24, 12, 1, 1), 12),
            (InvertedResidual(12, 12, 1, 3), 12),
            (wider, 12),
            (sideways, 12),
            (InvertedResidual(12, 20, 2, 2), 20),
            (nn.Sequential(upright, nn.BatchNorm2d(9), nn.ReLU6()), 9),
        ]
        return chained(1, links, (4, 6))

    return make


@pytest.fixture(scope="session")
def blocks_of_mobilenet(chained: Callable[..., MultiExitNet]) -> MakeNet:
    """A net for 1x37x41 of inverted residuals of 3x3 and 5x5, the last on a map of 3x3."""

    def make() -> MultiExitNet:
        torch.manual_seed(0)
        links = [
            (ConvNormAct(1, 10, 3, 2), 10),
            (large_residual(10, 1, 40), 10),
            (InvertedResidual(10, 10, 1, 3), 10),
            (large_residual(10, 2, 21), 10),
            (InvertedResidual(10, 12, 2, 2), 12),
            (InvertedResidual(12, 12, 2, 6), 12),
            (large_residual(12, 1, 37), 12),
        ]
        return chained(1, links, (2,))

    return make


@pytest.fixture(scope="session")
def plan_again() -> Callable[[Graph, int], StreamedPlan]:
    """Plans a graph in which no inverted residual keeps rows, and all that may be is fleeting."""

    def plan(graph: Graph, element_bytes: int) -> StreamedPlan:
        fused = fuse(graph)
        blocks = [n.output for n in fused.nodes if isinstance(n.operator, FusedResidual)]
        draft = Draft(with_recomputed(fused, blocks), element_bytes, image=True)
        names = draft.may_be_fleeting()
        assert len(names) > 1
        return draft.with_fleeting(names).placed(4)

    return plan


@pytest.fixture(scope="session")
def every_rex(chained: Callable[..., MultiExitNet]) -> MakeNet:
    """A net for 3x30x26 of ReX in all its variants, and batch norms."""

    def make() -> MultiExitNet:
        torch.manual_seed(0)
        repeated = {"padding": "replicate_out", "shared_directions": True, "use_global": False}
        variants = [
            ReX2d(3, 6, 2, 6, 4, use_rows=False),
            ReX2d(12, 4, 3, (3, 2), 1, **repeated),
            ReX2d(12, 16, 4, 2, 3, padding=1, use_cols=False),
            ReX2d(24, 8, 2, 5, 1, padding=2),
        ]
        channels = [rex.out_channels for rex in variants]
        links = [
            (nn.Sequential(rex, nn.BatchNorm2d(c)), c)
            for rex, c in zip(variants, channels, strict=True)
        ]
        return chained(3, links, (0, 1, 2))

    return make


@pytest.fixture(scope="session")
def images() -> Callable[[int, tuple[int, int, int]], Pixels]:
    """Makes images (N, H, W, C) of slanted waves, each in its own colours, with a little noise."""

    def make(count: int, shape: tuple[int, int, int]) -> Pixels:
        channels, height, width = shape
        chance = np.random.default_rng(0)
        y, x, c = np.meshgrid(*map(np.arange, (height, width, channels)), indexing="ij")
        made = []
        for _ in range(count):
            down, across = chance.normal(0, 0.4, 2)
            colours, phases = chance.uniform(0, 1, channels), chance.uniform(0, 6, channels)
            waves = colours[c] + 0.4 * np.sin(down * y + across * x + phases[c])
            waves += chance.normal(0, 0.05, waves.shape)
            made.append(np.uint8(255 * waves.clip(0, 1)))
        return np.stack(made)

    return make


MOBILE = (
    *("mobilenetv3", "efficientnet", "shufflenetv2", "regnet", "ghostnet"),
    *("tensorflow", "python", "gates", "chosen", "upwards"),
)


@pytest.fixture(params=MOBILE)
def mobile(
    request: pytest.FixtureRequest,
    lively: Callable[[MultiExitNet, Tensor], MultiExitNet],
    script: Callable[[Path], ModuleType],
) -> tuple[str, MultiExitNet, Tensor]:
    """The name of a family, a net of two exits with blocks as it has them, and images for it."""
    torch.manual_seed(0)
    stem = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.Hardswish())
    made = script(Path(__file__).with_name("mobile_blocks.py")).mobile_blocks()
    assert tuple(made) == MOBILE
    blocks = made[request.param]
    images = torch.randn(8, 3, 21, 18)
    net = attach_exits(nn.Sequential(stem, *blocks), [0], 2, image_shape=(3, 21, 18))
    return request.param, lively(net, images), images


@dataclass
class Spread:
    """Places that lie apart, with bytes between them that must stay as they are.

    Attributes:
        free: the bytes between.
        ends: of the places.
    """

    free: list[slice] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    def plan(self, plan: StreamedPlan) -> StreamedPlan:
        """The same plan, spread."""
        offsets, at = [], 0
        for buffer in plan.row_buffers:
            rows = []
            for _ in buffer.spans:
                rows.append(at + GAP)
                self.ends.append(rows[-1] + buffer.row_bytes)
                self.free.append(slice(at, at + GAP))
                at = rows[-1] + -(-buffer.row_bytes // 4) * 4
                self.free.append(slice(self.ends[-1], at))
            offsets.append(tuple(rows))
        self.free.append(slice(at, at + GAP))
        return replace(plan, offsets_bytes=tuple(offsets), arena_bytes=at + GAP)

    def check(self, folder: Path, pixels: Pixels) -> None:
        """Runs `net`, written to a folder by this plan, and looks at what lies between."""
        build_host(folder, folder / "net.so", ("-O1", "-shared", "-fPIC"))
        library = ctypes.CDLL(str(folder / "net.so"))
        size = self.free[-1].stop
        arena = np.full(size + 4, MARK, np.uint8)
        arena = arena[-arena.ctypes.data % 4 :][:size]
        state, image = np.zeros(64, np.uint64), np.ascontiguousarray(pixels)
        assert library.net_init(address(state), address(arena), ctypes.c_size_t(size)) == 1
        assert library.net_run(address(state), address(image)) == 0
        assert all((arena[place] == MARK).all() for place in self.free)
        assert all((arena[end - 4 : end] != MARK).any() for end in self.ends), (
            "more was planned than is used"
        )


def address(array: NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


@pytest.fixture
def spread() -> Spread:
    """Tells whether anything is written beside what was planned."""
    return Spread()


@pytest.fixture
def raw(tmp_path: Path) -> Callable[[Pixels], Path]:
    """Writes images one after the other, as programs take them."""

    def write(pixels: Pixels) -> Path:
        path = tmp_path / "images.raw"
        path.write_bytes(pixels.tobytes())
        return path

    return write


@pytest.fixture(scope="session")
def leaving() -> Callable[[Policy, Sequence[Tensor]], list[int]]:
    """Tells at which exit each image leaves, from the scores (N, K) of all exits."""

    def find(policy: Policy, scores: Sequence[Tensor]) -> list[int]:
        at = torch.full((len(scores[0]),), len(scores) - 1)
        inside = torch.ones(len(scores[0]), dtype=torch.bool)
        memory: tuple[Tensor, ...] = ()
        for k, mine in enumerate(scores[:-1]):
            leaves, memory = policy.observe(k, mine, memory)
            at[leaves & inside] = k
            inside &= ~leaves
        return at.tolist()

    return find


@pytest.fixture(scope="session")
def settled() -> Callable[..., MultiExitNet]:
    """From a name, images and arguments to a network of four classes that tells them apart."""

    def settle(name: str, x: Tensor, **arguments: Any) -> MultiExitNet:
        """Random weights, norms as the images make them, logits of deviation 1."""
        torch.manual_seed(0)
        net = create_model(name, 4, **arguments)
        for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
            norm.momentum = 1.0
        with torch.no_grad():
            net.train()(x)
            for stage, logits in zip(net.eval().stages, net(x), strict=True):
                linear = [m for m in stage.modules() if isinstance(m, nn.Linear)][-1]
                linear.weight /= logits.std()
                linear.bias /= logits.std()
        return net

    return settle
