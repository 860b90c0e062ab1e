"""What can stand in for the early part of a network: ReX and its rivals (ReX paper, Table 3).

Every choice takes the map behind the stem to a quarter of its height and width: 112x112 to 28x28 at
224 px. Sizes round up, those of convolutions down. Recurrent operators and convolution
choose their number of channels; pooling keeps those it gets.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from exeunt.chain import Block
from exeunt.errors import ExeuntError, one_of
from exeunt.ops.lift import LiftDownPool2d
from exeunt.ops.pooling import GatedPool2d, GFGP2d, MixedPool2d
from exeunt.ops.renet import ReNet2d
from exeunt.ops.rex_block import make_rex
from exeunt.ops.rnnpool import RNNPool2d


def _rex(channels: int, out: int) -> nn.Module:
    """Table 1: 6x6 patches, stride 4, a first hidden size of 16."""
    return make_rex(channels, out)


def _rnnpool(channels: int, out: int) -> nn.Module:
    return RNNPool2d(channels, hidden1=16, hidden2=out // 4, patch_size=6, stride=4)


def _renet(channels: int, out: int) -> nn.Module:
    return ReNet2d(channels, hidden=out // 2, patch_size=4)


def _rex_renet(channels: int, out: int) -> nn.Module:
    """The paper does not say how; read here as ReX, then ReNet over its pixels, as wide."""
    parts = {"rex": _rex(channels, out), "renet": ReNet2d(out, hidden=out // 2, patch_size=1)}
    return nn.Sequential(OrderedDict(parts))


def _stride(channels: int, out: int) -> nn.Module:
    """A convolution that sees what a ReX patch sees."""
    parts: dict[str, nn.Module] = {
        "conv": nn.Conv2d(channels, out, 6, stride=4, padding=1, bias=False),
        "norm": nn.BatchNorm2d(out),
        "act": nn.ReLU6(inplace=True),
    }
    return nn.Sequential(OrderedDict(parts))


def _space_to_depth(channels: int, out: int) -> nn.Module:
    """4x4 pixels become channels, then a 1x1 convolution; as one convolution of stride 4."""
    parts: dict[str, nn.Module] = {
        "conv": nn.Conv2d(channels, out, 4, stride=4, bias=False),
        "norm": nn.BatchNorm2d(out),
        "act": nn.ReLU6(inplace=True),
    }
    return nn.Sequential(OrderedDict(parts))


def _lift(channels: int) -> nn.Module:
    return nn.Sequential(LiftDownPool2d(channels), LiftDownPool2d(channels))


WIDENING: dict[str, Callable[[int, int], nn.Module]] = {
    "rex": _rex,
    "rnnpool": _rnnpool,
    "renet": _renet,
    "rex_renet": _rex_renet,
    "stride": _stride,
    "space_to_depth": _space_to_depth,
}
"""By name, from input and output channels."""

KEEPING: dict[str, Callable[[int], nn.Module]] = {
    "mixed": lambda channels: MixedPool2d(4),
    "gated": lambda channels: GatedPool2d(4),
    "gfgp": lambda channels: GFGP2d(channels, 4),
    "lift": _lift,
    "average": lambda channels: nn.AvgPool2d(4, ceil_mode=True),
    "max": lambda channels: nn.MaxPool2d(4, ceil_mode=True),
}
"""By name, from channels that stay as they are."""


def make_downsample(
    kind: str, channels: int, out: int, rex_form: str | Mapping[str, Any] | None = "paper"
) -> Block:
    """The block named `kind`, for a map of `channels`, with `out` channels if it can choose.

    Args:
        kind: a name in `WIDENING` or `KEEPING`.
        channels: C of the input.
        out: channels wanted, a multiple of 8.
        rex_form: of `"rex"`, see `exeunt.ops.rex_block`.

    Raises:
        ExeuntError: when nothing has that name.
    """
    if kind == "rex":
        rex = make_rex(channels, out, rex_form)
        return Block(kind, rex, rex.out_channels)
    if kind in WIDENING:
        return Block(kind, WIDENING[kind](channels, out), out)
    if kind in KEEPING:
        return Block(kind, KEEPING[kind](channels), channels)
    raise ExeuntError(f"downsample={kind!r}; {one_of(kind, [*WIDENING, *KEEPING])}")
