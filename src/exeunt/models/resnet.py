"""ResNet-34 with exits (He et al. 2016), plain and with ReX in place of its early part.

The trunk is a stem and four groups of basic blocks. ReX turns the stem's map (112x112x64 at 224 px)
into 28x28 and takes the place of the max-pool and the first group, so the second group keeps the
size; the deeper variant replaces the first two groups, as RNNPool does in ResNet-18. The ReX paper
counts 7 exits, which fits the first, and 20 M parameters, which fits the second.

Exits are "after every two blocks", by the rule of `exeunt.chain.taps_by_rule`, within the groups
that both variants have. They read a block's output, behind its last ReLU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from exeunt.chain import Block, chain_net, taps_by_rule
from exeunt.errors import ExeuntError
from exeunt.models.registry import register_model
from exeunt.models.stem import stem_blocks
from exeunt.net import MultiExitNet
from exeunt.ops.conv import make_divisible
from exeunt.ops.residual import BasicBlock
from exeunt.ops.rex_block import make_rex
from exeunt.ops.sizes import require_positive

LAYERS = (3, 4, 6, 3)
WIDTHS = (64, 128, 256, 512)

# groups that ReX stands in for: its first hidden size and its patch size
REX = {1: (16, 6), 2: (32, 8)}


def _build(
    replaced: int,
    num_classes: int,
    in_chans: int,
    layers: Sequence[int],
    widths: Sequence[int],
    stem: str,
    exits: str | Sequence[int],
    exit_head: str | Sequence[str],
    dropout: float,
    rex_form: str | Mapping[str, Any] | None = None,
) -> MultiExitNet:
    require_positive("ResNet", layers=layers, widths=widths)
    if len(layers) != len(widths) or len(layers) <= replaced:
        raise ExeuntError(
            f"layers={layers!r}, widths={widths!r}; give one of each for every group, and at "
            f"least {replaced + 1} groups"
        )
    channels = widths[0]
    entry = stem_blocks(stem, in_chans, channels)
    groups: list[list[Block]] = []
    if replaced:
        entry = entry[:1]  # without the max-pool
        hidden1, patch_size = REX[replaced]
        out = make_divisible(widths[replaced - 1])
        layer = make_rex(channels, out, rex_form, hidden1=hidden1, patch_size=patch_size)
        channels = layer.out_channels
        groups.append([Block("rex", layer, channels)])
    for g in range(replaced, len(layers)):
        group = []
        for b in range(layers[g]):
            halve = b == 0 and g > (1 if replaced else 0)  # ReX has done the second group's part
            module = BasicBlock(channels, widths[g], 2 if halve else 1)
            channels = widths[g]
            group.append(Block(f"group{g}_block{b}", module, channels))
        groups.append(group)

    blocks = [block for group in groups for block in group]
    presets = {"paper": taps_by_rule(groups, 1), "all": taps_by_rule(groups, 0), "last": []}
    return chain_net(
        [*entry, *blocks],
        exits,
        presets,
        range(len(entry), len(entry) + len(blocks)),
        num_classes,
        in_chans,
        exit_head=exit_head,
        dropout=dropout,
    )


@register_model
def resnet34(
    num_classes: int = 1000,
    in_chans: int = 3,
    *,
    layers: Sequence[int] = LAYERS,
    widths: Sequence[int] = WIDTHS,
    stem: str = "imagenet",
    exits: str | Sequence[int] = "paper",
    exit_head: str | Sequence[str] = "pooled",
    dropout: float = 0.0,
) -> MultiExitNet:
    """ResNet-34 as a shallow-deep network: 7 exits, images of 32 px and more.

    Args:
        num_classes: K.
        in_chans: channels of the image.
        layers: blocks in each group.
        widths: channels of each group.
        stem: `"imagenet"` (7x7 and max-pool, both stride 2) or `"cifar"` (3x3, stride 1).
        exits: `"paper"` (7), `"all"` (the same rule over the whole trunk: 8), `"last"` (the
            ordinary network) or 0-based positions among the 16 blocks; the last exit always is.
        exit_head: `"pooled"`, `"mixed"`, `"rex"` or `"conv"`, for all exits but the last; or one
            of them for each exit, in order.
        dropout: before the last classifier.

    Raises:
        ExeuntError: for sizes, a stem, an exit or a head that cannot be.
    """
    return _build(0, num_classes, in_chans, layers, widths, stem, exits, exit_head, dropout)


@register_model
def rex_resnet34(
    num_classes: int = 1000,
    in_chans: int = 3,
    *,
    deep: bool = False,
    layers: Sequence[int] = LAYERS,
    widths: Sequence[int] = WIDTHS,
    stem: str = "imagenet",
    exits: str | Sequence[int] = "paper",
    exit_head: str | Sequence[str] = "pooled",
    dropout: float = 0.0,
    rex_form: str | Mapping[str, Any] | None = None,
) -> MultiExitNet:
    """ReX-ResNet-34 (ReX paper, Table 2): 7 exits, images of 32 px and more.

    One ReX layer of stride 4 and 13 blocks: 6x6 patches, hidden sizes 16 and 8, 64 channels. With
    `deep` it replaces the second group too, and 9 blocks follow (5 exits): 8x8 patches, hidden
    sizes 32 and 16, 128 channels. Other arguments and errors as `resnet34`; `layers` and `widths`
    are those of the plain net; the positions for `exits` are ReX, 0, then the blocks; `"all"` adds
    an exit behind ReX itself. With the CIFAR stem ReX still has stride 4, so its tail works on maps
    of half the plain net's size. `rex_form` as for `rex_mobilenetv2`.
    """
    plain = num_classes, in_chans, layers, widths, stem, exits, exit_head, dropout
    return _build(2 if deep else 1, *plain, rex_form)
