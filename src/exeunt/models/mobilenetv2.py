"""MobileNetV2 with exits (Sandler et al. 2018), plain and with ReX in place of its early part.

The trunk is a stem, seven groups of inverted residuals and a 1x1 convolution. `rex_mobilenetv2`
is Table 1 of the ReX paper: one ReX layer replaces the first three groups, 112x112x32 to 28x28x64
at 224 px, "after every two blocks" an exit. That rule, read so that it gives the paper's six exits:
within each group that both variants have, after every second block, and after the only block of a
one-block group; then the final classifier. (Named `rex_` because timm's ReXNet is another net.)
Table 3 puts other operators in the place of ReX: `mobilenetv2(downsample="lift")` and so on.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from exeunt.chain import Block, chain_net, taps_by_rule
from exeunt.errors import ExeuntError
from exeunt.models.downsample import make_downsample
from exeunt.models.registry import register_model
from exeunt.net import MultiExitNet
from exeunt.ops.conv import ConvNormAct, InvertedResidual, make_divisible

# expansion, channels, blocks, stride of the first block
GROUPS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
REPLACED_GROUPS = 3  # what ReX or another operator stands in for
WIDTHS = {"035": 0.35, "050": 0.5, "075": 0.75, "100": 1.0}


def _build(
    downsample: str | None,
    num_classes: int,
    in_chans: int,
    width: float,
    exits: str | Sequence[int],
    exit_head: str | Sequence[str],
    dropout: float,
) -> MultiExitNet:
    if not width > 0:
        raise ExeuntError(f"width={width!r}; give a number above 0, such as 0.5 or 1.0")
    channels = make_divisible(32 * width)
    stem = Block("stem", ConvNormAct(in_chans, channels, 3, stride=2), channels)
    groups: list[list[Block]] = []
    if downsample is not None:
        block = make_downsample(downsample, channels, make_divisible(64 * width))
        channels = block.channels
        groups.append([block])
    for g, (expansion, base, count, stride) in enumerate(GROUPS):
        if downsample is not None and g < REPLACED_GROUPS:
            continue
        group = []
        for b in range(count):
            out = make_divisible(base * width)
            module = InvertedResidual(channels, out, stride if b == 0 else 1, expansion)
            group.append(Block(f"group{g}_block{b}", module, out))
            channels = out
        groups.append(group)
    features = make_divisible(1280 * max(1.0, width))
    head = Block("head", ConvNormAct(channels, features), features)

    blocks = [block for group in groups for block in group]
    shared = REPLACED_GROUPS if downsample is None else 1
    presets = {"paper": taps_by_rule(groups, shared), "all": taps_by_rule(groups, 0), "last": []}
    return chain_net(
        [stem, *blocks, head],
        exits,
        presets,
        range(1, 1 + len(blocks)),
        num_classes,
        in_chans,
        exit_head=exit_head,
        dropout=dropout,
    )


@register_model
def mobilenetv2(
    num_classes: int = 1000,
    in_chans: int = 3,
    *,
    width: float = 1.0,
    exits: str | Sequence[int] = "paper",
    exit_head: str | Sequence[str] = "pooled",
    dropout: float = 0.2,
    downsample: str | None = None,
) -> MultiExitNet:
    """MobileNetV2 as a shallow-deep network: 6 exits, images of 32 px and more.

    Args:
        num_classes: K.
        in_chans: channels of the image.
        width: channel multiplier.
        exits: `"paper"` (6), `"all"` (the same rule over the whole trunk: 9), `"last"` (the
            ordinary network) or 0-based positions among the 17 blocks; the last exit always is.
        exit_head: `"pooled"`, `"mixed"`, `"rex"` or `"conv"`, for all exits but the last; or one
            of them for each exit, in order.
        dropout: before the last classifier.
        downsample: what replaces the first three groups, if anything: `"rex"`, `"rnnpool"`,
            `"renet"`, `"rex_renet"`, `"stride"`, `"mixed"`, `"gated"`, `"gfgp"`, `"lift"`,
            `"average"` or `"max"` (see `exeunt.models.downsample`). Positions for `exits` are then
            those of `rex_mobilenetv2`.

    Raises:
        ExeuntError: for a width, an exit, a head or a downsampling operator that is not there.
    """
    return _build(downsample, num_classes, in_chans, width, exits, exit_head, dropout)


@register_model
def rex_mobilenetv2(
    num_classes: int = 1000,
    in_chans: int = 3,
    *,
    width: float = 1.0,
    exits: str | Sequence[int] = "paper",
    exit_head: str | Sequence[str] = "pooled",
    dropout: float = 0.2,
) -> MultiExitNet:
    """ReX-MobileNetV2 (ReX paper, Table 1): 6 exits, images of 32 px and more.

    One ReX layer (6x6 patches, stride 4, hidden sizes 16 and 8) and 11 blocks. With a width
    multiplier the first hidden size stays 16 and the second follows the 64 output channels.
    Arguments and errors as `mobilenetv2`; the positions for `exits` are ReX, 0, then the 11 blocks;
    `"all"` adds an exit behind ReX itself (7).
    """
    return _build("rex", num_classes, in_chans, width, exits, exit_head, dropout)


for _tag, _width in WIDTHS.items():
    register_model(partial(mobilenetv2, width=_width), name=f"mobilenetv2_{_tag}")
    register_model(partial(rex_mobilenetv2, width=_width), name=f"rex_mobilenetv2_{_tag}")
