"""What residual and dense networks begin with."""

from __future__ import annotations

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
