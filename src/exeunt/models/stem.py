"""What networks begin with, for large images and for small ones."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from exeunt.chain import Block
from exeunt.errors import ExeuntError
from exeunt.ops.conv import ConvNormAct


def stem_blocks(stem: str, in_chans: int, channels: int) -> list[Block]:
    """The first blocks of a chain: `stem` and, for large images, `pool`.

    `"imagenet"` is a 7x7 convolution and a 3x3 max-pool, both with stride 2; `"cifar"` a 3x3
    convolution with stride 1.

    Raises:
        ExeuntError: for another stem.
    """
    if stem == "imagenet":
        conv = ConvNormAct(in_chans, channels, 7, stride=2, act=nn.ReLU)
        pool = nn.MaxPool2d(3, stride=2, padding=1)
        return [Block("stem", conv, channels), Block("pool", pool, channels)]
    if stem == "cifar":
        return [Block("stem", ConvNormAct(in_chans, channels, 3, act=nn.ReLU), channels)]
    raise ExeuntError(f"stem={stem!r}; one of 'imagenet', 'cifar'")


def multi_scale_stem(stem: str, in_chans: int, channels: int) -> nn.Module:
    """What makes the map of highest resolution in MSDNet and RANet.

    As in `stem_blocks`, but in one piece, and with a bias in the 7x7 convolution, as in their
    published code.

    Raises:
        ExeuntError: for another stem.
    """
    if stem == "imagenet":
        conv = ConvNormAct(in_chans, channels, 7, stride=2, act=nn.ReLU, bias=True)
        pool = nn.MaxPool2d(3, stride=2, padding=1)
        return nn.Sequential(OrderedDict(stem=conv, pool=pool))
    if stem == "cifar":
        return ConvNormAct(in_chans, channels, 3, act=nn.ReLU)
    raise ExeuntError(f"stem={stem!r}; one of 'imagenet', 'cifar'")
