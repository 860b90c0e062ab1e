"""Residual networks for CIFAR (He et al. 2016; Zagoruyko and Komodakis 2016), with exits.

A 3x3 convolution and three groups of equally many blocks, at full, half and quarter size. Exits
are where shallow-deep networks (Kaya et al. 2019) put theirs by their rule: after the blocks at
which the MACs are nearest to 15, 30, 45, 60, 75 and 90 % of the trunk's (fewer exits where two fall
together). The published wide network is not where its own rule puts it; it stands here as its code
has it. Exits read a block's output as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from torch import nn

from exeunt.chain import Block, chain_net, taps_by_rule, taps_by_share
from exeunt.errors import ExeuntError
from exeunt.models.registry import register_model
from exeunt.models.stem import stem_blocks
from exeunt.net import MultiExitNet
from exeunt.ops.conv import NormAct
from exeunt.ops.residual import BasicBlock, PreactBlock
from exeunt.ops.sizes import require_positive

_PUBLISHED = {5: (2, 4, 6, 8, 10, 12)}  # of wide networks, by the blocks of a group


def _build(
    stem: Block,
    make_block: Callable[[int, int, int], nn.Module],
    count: int,
    width: int,
    tail: Sequence[Block],
    num_classes: int,
    in_chans: int,
    exits: str | Sequence[int],
    exit_head: str | Sequence[str],
    dropout: float,
    published: Sequence[int] | None = None,
) -> MultiExitNet:
    """Stem, three groups of `count` blocks of `width`, `2 * width` and `4 * width`, tail."""
    channels = stem.channels
    groups: list[list[Block]] = []
    for g in range(3):
        group = []
        for b in range(count):
            module = make_block(channels, width * 2**g, 2 if b == 0 and g > 0 else 1)
            channels = width * 2**g
            group.append(Block(f"group{g}_block{b}", module, channels))
        groups.append(group)
    blocks = [stem, *(block for group in groups for block in group), *tail]
    candidates = range(1, 1 + 3 * count)
    presets = {
        "paper": published or taps_by_share(blocks, candidates, (in_chans, 8, 8)),
        "all": taps_by_rule(groups, 0),
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


@register_model(name="resnet_cifar", image_size=32)
def resnet_cifar(
    num_classes: int = 10,
    in_chans: int = 3,
    *,
    depth: int = 56,
    width: int = 16,
    projection: bool = False,
    exits: str | Sequence[int] = "paper",
    exit_head: str | Sequence[str] = "pooled",
    dropout: float = 0.0,
) -> MultiExitNet:
    """ResNet for CIFAR (He et al. 2016), as a shallow-deep network: 7 exits.

    For images of 4 px and more.

    Args:
        num_classes: K.
        in_chans: channels of the image.
        depth: 6n + 2 layers for n blocks in each group.
        width: channels of the first group; 2 and 4 times as many follow.
        projection: whether shortcuts between groups are 1x1 convolutions (option B); if not, they
            have no parameters (option A).
        exits: `"paper"` (six internal ones by their share of the MACs), `"all"` (after
            every second block of a group), `"last"` (the ordinary network) or 0-based positions
            among the 3n blocks; the last exit always is.
        exit_head: `"pooled"`, `"mixed"`, `"rex"` or `"conv"`, for all exits but the last; or one
            of them for each exit, in order.
        dropout: before the last classifier.

    Raises:
        ExeuntError: for a depth, width, exit or head that cannot be.
    """
    require_positive("ResNet", depth=depth, width=width)
    if depth < 8 or depth % 6 != 2:
        raise ExeuntError(f"depth={depth!r}; give 6n + 2, such as 20, 56 or 110")
    (stem,) = stem_blocks("cifar", in_chans, width)
    block = partial(BasicBlock, projection=projection)
    count = depth // 6
    return _build(stem, block, count, width, [], num_classes, in_chans, exits, exit_head, dropout)


@register_model(name="wideresnet_cifar", image_size=32)
def wideresnet_cifar(
    num_classes: int = 10,
    in_chans: int = 3,
    *,
    depth: int = 28,
    widen: int = 10,
    exits: str | Sequence[int] = "paper",
    exit_head: str | Sequence[str] = "pooled",
    dropout: float = 0.0,
) -> MultiExitNet:
    """Wide ResNet for CIFAR (Zagoruyko and Komodakis 2016), as a shallow-deep network: 7 exits.

    Args:
        num_classes: K.
        in_chans: channels of the image.
        depth: 6n + 4 layers for n blocks in each group. The network that shallow-deep networks call
            32-4 has n = 5, so it is depth 34 here.
        widen: the groups have 16, 32 and 64 times as many channels.
        exits: as in `resnet_cifar`; at depth 34 `"paper"` is where the code of shallow-deep
            networks has them, after blocks 2, 4, 6, 8, 10 and 12, counted from 0.
        exit_head: `"pooled"`, `"mixed"`, `"rex"` or `"conv"`, for all exits but the last; or one
            of them for each exit, in order.
        dropout: before the last classifier.

    Raises:
        ExeuntError: for a depth, widening, exit or head that cannot be.
    """
    require_positive("ResNet", depth=depth, widen=widen)
    if depth < 10 or depth % 6 != 4:
        raise ExeuntError(f"depth={depth!r}; give 6n + 4, such as 16, 28 or 40")
    stem = Block("stem", nn.Conv2d(in_chans, 16, 3, padding=1, bias=False), 16)
    width = 16 * widen
    tail = [Block("norm", NormAct(4 * width), 4 * width)]
    count = depth // 6
    places = _PUBLISHED.get(count)
    return _build(
        *(stem, PreactBlock, count, width, tail, num_classes, in_chans, exits, exit_head, dropout),
        published=places,
    )


for _depth in (56, 110):
    register_model(partial(resnet_cifar, depth=_depth), name=f"resnet{_depth}_cifar", image_size=32)
register_model(
    partial(resnet_cifar, depth=8, projection=True),
    name="resnet8",
    about="ResNet-8, MLPerf Tiny's net for image classification, with exits: 3",
    image_size=32,
)
for _depth, _widen in ((28, 10), (34, 4)):
    register_model(
        partial(wideresnet_cifar, depth=_depth, widen=_widen),
        name=f"wideresnet{_depth}_{_widen}_cifar",
        image_size=32,
    )
