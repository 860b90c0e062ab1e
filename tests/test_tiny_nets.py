"""The three networks of `benchmarks/tiny_nets.py` are those that are published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from exeunt.graph import build_graph

FILE = Path(__file__).parent.parent / "benchmarks" / "tiny_nets.py"


@pytest.fixture(scope="module")
def nets(script: Callable[[Path], ModuleType]) -> ModuleType:
    return script(FILE)


@pytest.mark.parametrize(
    ("name", "layers"),
    [("mobilenetv2_035", 194_400), ("mcunetv2_vww_5fps", 96_000), ("mcunet_320kb", 309_760)],
)
def test_published_sizes(nets: ModuleType, name: str, layers: int) -> None:
    """Multiply-adds of the chain, and the peak that msf-CNN prints for it layer by layer."""
    size, blocks = nets.blocks_of(name)
    net = nets.with_exits(blocks, [])
    head = 2 * blocks[-1].channels
    assert net.exit_info(size)[-1].macs - head == nets.MACS[name]
    assert nets.layer_by_layer(build_graph(net, size)) == layers


@torch.no_grad()
def test_exits_stand_evenly(nets: ModuleType) -> None:
    size, blocks = nets.blocks_of("mcunetv2_vww_5fps")
    net = nets.with_exits(blocks, nets.even(blocks, size, 3))
    shares = [info.macs for info in net.exit_info(size)]
    assert len(shares) == 3
    assert [share / shares[-1] for share in shares] == pytest.approx([1 / 3, 2 / 3, 1], abs=0.07)
