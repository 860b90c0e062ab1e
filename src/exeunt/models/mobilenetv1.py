"""MobileNetV1 with exits (Howard et al. 2017); a quarter as wide, a benchmark of MLPerf Tiny.

A stem and 13 blocks, each a depthwise and a 1x1 convolution with batch norm and ReLU. Exits are
where shallow-deep networks (Kaya et al. 2019) put theirs, by their share of the MACs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import nn

from exeunt.chain import Block, chain_net, taps_by_rule, taps_by_share
from exeunt.errors import ExeuntError
from exeunt.models.registry import register_model
from exeunt.net import MultiExitNet
from exeunt.ops.conv import ConvNormAct, DepthwiseSeparable, make_divisible

# channels of each block of a group, all but the first group's first block beginning with stride 2
GROUPS = ((64,), (128, 128), (256, 256), (512, 512, 512, 512, 512, 512), (1024, 1024))


@register_model
def mobilenetv1(
    num_classes: int = 1000,
    in_chans: int = 3,
    *,
    width: float = 1.0,
    exits: str | Sequence[int] = "paper",
    exit_head: str | Sequence[str] = "pooled",
    dropout: float = 0.0,
) -> MultiExitNet:
    """MobileNetV1 as a shallow-deep network: 7 exits, images of 32 px and more.

    Args:
        num_classes: K.
        in_chans: channels of the image.
        width: channel multiplier.
        exits: `"paper"` (up to six internal ones by their share of the MACs), `"all"` (after every
            second block of a group, or its only one), `"last"` (the ordinary network) or 0-based
            positions among the 13 blocks; the last exit always is.
        exit_head: `"pooled"`, `"mixed"`, `"rex"` or `"conv"`, for all exits but the last; or one
            of them for each exit, in order.
        dropout: before the last classifier.

    Raises:
        ExeuntError: for a width, an exit or a head that cannot be.
    """
    if not width > 0:
        raise ExeuntError(f"width={width!r}; give a number above 0, such as 0.25 or 1.0")
    channels = make_divisible(32 * width)
    stem = ConvNormAct(in_chans, channels, 3, stride=2, act=nn.ReLU)
    blocks = [Block("stem", stem, channels)]
    for g, group in enumerate(GROUPS):
        for b, base in enumerate(group):
            out, stride = make_divisible(base * width), 2 if b == 0 and g > 0 else 1
            module = DepthwiseSeparable(channels, out, stride)
            blocks.append(Block(f"group{g}_block{b}", module, out))
            channels = out
    candidates = range(1, len(blocks))
    presets = {
        "paper": taps_by_share(blocks, candidates, (in_chans, 32, 32)),
        "all": taps_by_rule(GROUPS, 0),
        "last": [],
    }
    return chain_net(
        blocks,
        exits,
        presets,
        candidates,
        num_classes,
        in_chans,
        exit_head=exit_head,
        dropout=dropout,
    )


register_model(
    partial(mobilenetv1, num_classes=2, width=0.25),
    name="mobilenetv1_025",
    about="MobileNetV1 x0.25, MLPerf Tiny's net for visual wake words, with exits: 7",
    image_size=96,
)
