"""DenseNet-121 with exits (Huang et al. 2017), plain and with ReX in place of its early part, and
the DenseNet-BC form for CIFAR.

The trunk is a stem, dense blocks with transitions between them, and a last batch norm and ReLU. The
state is one tensor, the concatenation so far, and an exit reads it as it is, before the batch norm
and ReLU that every later reader applies on its own. ReX (112x112 to 28x28 at 224 px) takes the
place of the max-pool, the first two dense blocks and the transition between them.

Exits are "after every two blocks" (ReX paper), read as every two layers within the dense blocks
that both variants have, by the rule of `exeunt.chain.taps_by_rule`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import nn

from exeunt.chain import Block, chain_net, taps_by_rule, taps_by_share
from exeunt.errors import ExeuntError
from exeunt.models.registry import register_model
from exeunt.models.stem import stem_blocks
from exeunt.net import MultiExitNet
from exeunt.ops.conv import NormAct, make_divisible
from exeunt.ops.dense import DenseLayer, Transition
from exeunt.ops.rex_block import make_rex
from exeunt.ops.sizes import require_positive

LAYERS = (6, 12, 24, 16)
REPLACED_BLOCKS = 2  # what ReX stands in for


def _dense_chain(
    entry: Sequence[Block], layers: Sequence[int], growth: int, first: int = 0
) -> tuple[list[Block], list[list[int]]]:
    """Appends dense blocks `first` and later, transitions before all but block 0, and the norm.

    A transition halves what the plain net has there, whatever it reads.

    Returns:
        The chain, and the positions in it of each dense block's layers.
    """
    blocks = list(entry)
    plain = entry[0].channels
    places = []
    for d, count in enumerate(layers):
        if d:
            plain //= 2
        if d >= first:
            if d:
                transition = Transition(blocks[-1].channels, plain)
                blocks.append(Block(f"transition{d - 1}", transition, plain))
            places.append(list(range(len(blocks), len(blocks) + count)))
            for i in range(count):
                channels = blocks[-1].channels
                layer = DenseLayer(channels, growth)
                blocks.append(Block(f"dense{d}_layer{i}", layer, channels + growth))
        plain += count * growth
    channels = blocks[-1].channels
    blocks.append(Block("norm", NormAct(channels), channels))
    return blocks, places


def _build(
    rex: bool,
    num_classes: int,
    in_chans: int,
    layers: Sequence[int],
    growth: int,
    width: int,
    stem: str,
    exits: str | Sequence[int],
    exit_head: str | Sequence[str],
    dropout: float,
    rex_form: str | Mapping[str, Any] | None = None,
) -> MultiExitNet:
    require_positive("DenseNet", layers=layers, growth=growth, width=width)
    if len(layers) <= REPLACED_BLOCKS:
        raise ExeuntError(f"layers={layers!r}; give {REPLACED_BLOCKS + 1} dense blocks or more")
    entry = stem_blocks(stem, in_chans, width)
    places: list[list[int]] = []
    if rex:
        layer = make_rex(width, make_divisible(width), rex_form)
        entry = [entry[0], Block("rex", layer, layer.out_channels)]  # without the max-pool
        places.append([1])
    blocks, dense = _dense_chain(entry, layers, growth, REPLACED_BLOCKS if rex else 0)
    places += dense
    candidates = [place for group in places for place in group]
    shared = 1 if rex else REPLACED_BLOCKS
    presets = {"paper": taps_by_rule(places, shared), "all": taps_by_rule(places, 0), "last": []}
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


@register_model
def densenet121(
    num_classes: int = 1000,
    in_chans: int = 3,
    *,
    layers: Sequence[int] = LAYERS,
    growth: int = 32,
    width: int = 64,
    stem: str = "imagenet",
    exits: str | Sequence[int] = "paper",
    exit_head: str | Sequence[str] = "pooled",
    dropout: float = 0.0,
) -> MultiExitNet:
    """DenseNet-121 as a shallow-deep network: 21 exits, images of 32 px and more.

    Args:
        num_classes: K.
        in_chans: channels of the image.
        layers: layers in each dense block.
        growth: channels that a layer adds.
        width: channels of the stem.
        stem: `"imagenet"` (7x7 and max-pool, both stride 2) or `"cifar"` (3x3, stride 1).
        exits: `"paper"` (21), `"all"` (the same rule over the whole trunk: 30), `"last"` (the
            ordinary network) or 0-based positions among the 58 layers; the last exit always is.
        exit_head: `"pooled"`, `"mixed"`, `"rex"` or `"conv"`, for all exits but the last; or one
            of them for each exit, in order.
        dropout: before the last classifier.

    Raises:
        ExeuntError: for sizes, a stem, an exit or a head that cannot be.
    """
    return _build(
        False, num_classes, in_chans, layers, growth, width, stem, exits, exit_head, dropout
    )


@register_model
def rex_densenet121(
    num_classes: int = 1000,
    in_chans: int = 3,
    *,
    layers: Sequence[int] = LAYERS,
    growth: int = 32,
    width: int = 64,
    stem: str = "imagenet",
    exits: str | Sequence[int] = "paper",
    exit_head: str | Sequence[str] = "pooled",
    dropout: float = 0.0,
    rex_form: str | Mapping[str, Any] | None = None,
) -> MultiExitNet:
    """ReX-DenseNet-121 (ReX paper, Table 2): 21 exits, images of 32 px and more.

    One ReX layer (6x6 patches, stride 4, hidden sizes 16 and 8, 64 channels), then the plain net's
    second transition, whose output has its usual 256 channels, and two dense blocks. Arguments and
    errors as `densenet121`; `layers` are those of the plain net; the positions for `exits` are ReX,
    0, then the 40 layers; `"all"` adds an exit behind ReX itself (22). `rex_form` as for
    `rex_mobilenetv2`.
    """
    plain = num_classes, in_chans, layers, growth, width, stem, exits, exit_head, dropout
    return _build(True, *plain, rex_form)


@register_model(name="densenetbc_cifar", image_size=32)
def densenetbc_cifar(
    num_classes: int = 10,
    in_chans: int = 3,
    *,
    depth: int = 100,
    growth: int = 12,
    exits: str | Sequence[int] = "paper",
    exit_head: str | Sequence[str] = "pooled",
    dropout: float = 0.0,
) -> MultiExitNet:
    """DenseNet-BC for CIFAR (Huang et al. 2017), as a shallow-deep network: 7 exits.

    A 3x3 convolution to `2 * growth` channels and three dense blocks of equal depth, for images of
    4 px and more.

    Args:
        num_classes: K.
        in_chans: channels of the image.
        depth: 6n + 4 layers for n layers in each dense block.
        growth: channels that a layer adds.
        exits: `"paper"` (six internal ones where shallow-deep networks put theirs, by their share
            of the MACs), `"all"` (after every second layer), `"last"` (the ordinary network) or
            0-based positions among the 3n layers; the last exit always is.
        exit_head: `"pooled"`, `"mixed"`, `"rex"` or `"conv"`, for all exits but the last; or one
            of them for each exit, in order.
        dropout: before the last classifier.

    Raises:
        ExeuntError: for a depth, growth, exit or head that cannot be.
    """
    require_positive("DenseNet", depth=depth, growth=growth)
    if depth < 10 or depth % 6 != 4:
        raise ExeuntError(f"depth={depth!r}; give 6n + 4, such as 40, 100 or 190")
    width = 2 * growth
    stem = Block("stem", nn.Conv2d(in_chans, width, 3, padding=1, bias=False), width)
    blocks, places = _dense_chain([stem], [depth // 6] * 3, growth)
    candidates = [place for group in places for place in group]
    presets = {
        "paper": taps_by_share(blocks, candidates, (in_chans, 8, 8)),
        "all": taps_by_rule(places, 0),
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


for _depth, _growth in ((100, 12), (190, 40)):
    register_model(
        partial(densenetbc_cifar, depth=_depth, growth=_growth),
        name=f"densenetbc{_depth}_cifar",
        image_size=32,
    )
