"""MSDNet (Huang et al. 2018), plain and with ReX in place of its finest scale.

Maps of several scales grow side by side, layer by layer (`exeunt.models.grid`). A layer adds
`growth * factor` channels to each scale's map: at the finest scale from that map, at the others
half from it and half, with stride 2, from the finer one. An exit after each block of layers reads
the coarsest map. The state is one map of each scale that later stages read, finest first.

`lazy` nets (the authors' "lazy evaluation") make a map only when an exit is reached that it
contributes to; the published code makes all maps of a block before its exit. Logits, parameters and
the cost of the last exit are the same, the first exits are cheaper.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import Any

from torch import nn

from exeunt.chain import exit_places
from exeunt.errors import ExeuntError
from exeunt.models.flow import Feature, Node, flow_net
from exeunt.models.grid import Grid
from exeunt.models.registry import register_model
from exeunt.models.stem import multi_scale_stem
from exeunt.net import MultiExitNet
from exeunt.ops.conv import ConvNormAct
from exeunt.ops.multiscale import ScaleLayer
from exeunt.ops.rex_block import make_rex
from exeunt.ops.sizes import require_positive

CIFAR_EXIT_WIDTH = 128


def _block_layers(base: int, step: int, blocks: int, mode: str) -> list[int]:
    """How many layers each block has."""
    require_positive("MSDNet", base=base, step=step, blocks=blocks)
    if mode == "even":
        return [base] + [step] * (blocks - 1)
    if mode == "lin_grow":
        return [base] + [step * b + 1 for b in range(1, blocks)]
    raise ExeuntError(f"mode={mode!r}; one of 'even', 'lin_grow'")


def _widths(grid: Grid, width: int, growth: int, reduction: float) -> list[int]:
    """Channels after layer 0, 1, ... N at a scale whose factor is 1."""
    if not 0 < reduction <= 1:
        raise ExeuntError(f"reduction={reduction!r}; give a share above 0 and at most 1")
    widths = [width]
    for layer in range(1, len(grid.surviving)):
        grown = widths[-1] + growth
        widths.append(int(reduction * grown) if layer in grid.transitions else grown)
        if widths[-1] < 1:
            raise ExeuntError(
                f"reduction={reduction!r} leaves none of {grown} channels at layer {layer}; give "
                "a larger share"
            )
    return widths


def _build(
    first: nn.Module,
    block_layers: Sequence[int],
    num_classes: int,
    in_chans: int,
    width: int,
    growth: int,
    factors: Sequence[int],
    prune: str,
    reduction: float,
    lazy: bool,
    exits: str | Sequence[int],
    exit_head: str | Sequence[str],
    exit_width: int | None,
    dropout: float,
) -> MultiExitNet:
    """The network behind `first`, which makes the finest of the first maps from the image."""
    if any(growth * factor % 2 for factor in factors[1:]):
        raise ExeuntError(
            f"growth={growth!r}, factors={tuple(factors)!r}; growth * factor must be even at every "
            "scale but the finest: half comes from the finer scale"
        )
    if exit_width is not None:
        require_positive("MSDNet", exit_width=exit_width)
    grid = Grid.pruned(sum(block_layers), len(factors), prune)
    widths = _widths(grid, width, growth, reduction)

    def make(layer: int, scale: int) -> Node:
        reads = grid.reads((layer, scale))
        channels = [widths[there] * factors[at] for there, at in reads if at >= 0]
        if not channels:
            module = first
        elif layer == 0:
            out = width * factors[scale]
            module = ConvNormAct(channels[0], out, 3, stride=2, act=nn.ReLU)
        else:
            module = ScaleLayer(
                channels[0],
                growth * factors[scale],
                factors[scale],
                (channels[1], factors[scale - 1]) if len(reads) == 2 else None,
                widths[layer] * factors[scale] if layer in grid.transitions else None,
            )
        names = tuple(f"scale{at}" if at >= 0 else "image" for _, at in reads)
        return Node(f"scale{scale}_layer{layer}", module, names, (f"scale{scale}",))

    blocks = range(len(block_layers))
    presets: dict[str, Sequence[int]] = {"paper": blocks, "all": blocks, "last": []}
    places = exit_places(exits, presets, len(blocks))
    reached = list(accumulate(block_layers))
    ends = [reached[place] for place in sorted({*places, blocks[-1]})]
    nodes: list[Node] = []
    features: dict[str, Feature] = {}
    for end, stage in zip(ends, grid.stages(ends, lazy), strict=True):
        nodes += [make(*place) for place in stage]
        features[nodes[-1].name] = Feature(f"scale{len(factors) - 1}", widths[end] * factors[-1])
    return flow_net(
        nodes,
        features,
        num_classes,
        in_chans,
        exit_head=exit_head,
        exit_width=exit_width,
        dropout=dropout,
    )


@register_model(name="msdnet", image_size=32)
def msdnet(
    num_classes: int = 1000,
    in_chans: int = 3,
    *,
    base: int = 4,
    step: int = 2,
    blocks: int = 10,
    mode: str = "even",
    width: int = 16,
    growth: int = 6,
    factors: Sequence[int] = (1, 2, 4),
    prune: str = "max",
    reduction: float = 0.5,
    stem: str = "cifar",
    lazy: bool = True,
    exits: str | Sequence[int] = "paper",
    exit_head: str | Sequence[str] = "conv",
    exit_width: int | None = None,
    dropout: float = 0.0,
) -> MultiExitNet:
    """MSDNet (Huang et al. 2018), an exit after every block.

    Defaults are the CIFAR network for anytime prediction. Images may be of any size. The finest of
    the first maps is as large as the image with the CIFAR stem, and a quarter as high and wide with
    the ImageNet stem; every further scale halves that, rounded up.

    Args:
        num_classes: K.
        in_chans: channels of the image.
        base: layers of the first block.
        step: layers of every other block.
        blocks: how many.
        mode: `"even"`, or `"lin_grow"`: block b = 2, 3, ... has `step * (b - 1) + 1` layers.
        width: channels of the first maps, times the scale's factor.
        growth: channels that a layer adds, times the scale's factor; half of them come from the
            finer scale, so that all but the finest scale must get an even number.
        factors: one for each scale, finest first; of its channels and of its bottlenecks.
        prune: when scales are dropped and channels narrowed: `"max"` drops one after every
            `ceil(N / S)` of N layers and narrows there; `"min"` drops only what no exit can see,
            and narrows after a third and two thirds.
        reduction: share of the channels that is kept where they are narrowed.
        stem: `"cifar"` (3x3, stride 1) or `"imagenet"` (7x7 and max-pool, both stride 2).
        lazy: make each map when the first exit needs it; if not, before the exit of its block, as
            published code does. The same network, with the same cost at the last exit.
        exits: `"paper"` or `"all"` (after every block), `"last"` (the ordinary network) or 0-based
            positions among the blocks; the last exit always is.
        exit_head: `"conv"` (the paper's), `"pooled"`, `"mixed"` or `"rex"`, for all exits but the
            last, which is the paper's; or one of them for each exit, in order.
        exit_width: channels inside the paper's exits; if None, as published: 128 with the CIFAR
            stem, as many as the map has with the ImageNet stem.
        dropout: before the last classifier.

    Raises:
        ExeuntError: for sizes, a mode, a way to prune, a stem, an exit or a head that cannot be.
    """
    block_layers = _block_layers(base, step, blocks, mode)
    require_positive("MSDNet", width=width, growth=growth, factors=factors)
    if stem == "cifar" and exit_width is None:
        exit_width = CIFAR_EXIT_WIDTH
    return _build(
        multi_scale_stem(stem, in_chans, width * factors[0]),
        block_layers,
        num_classes,
        in_chans,
        width,
        growth,
        factors,
        prune,
        reduction,
        lazy,
        exits,
        exit_head,
        exit_width,
        dropout,
    )


@register_model
def rex_msdnet(
    num_classes: int = 1000,
    in_chans: int = 3,
    *,
    base: int = 2,
    step: int = 2,
    blocks: int = 6,
    mode: str = "even",
    width: int = 32,
    growth: int = 12,
    factors: Sequence[int] = (2, 4, 4),
    prune: str = "max",
    reduction: float = 0.5,
    lazy: bool = True,
    exits: str | Sequence[int] = "paper",
    exit_head: str | Sequence[str] = "conv",
    exit_width: int | None = None,
    dropout: float = 0.0,
    rex_form: str | Mapping[str, Any] | None = None,
) -> MultiExitNet:
    """ReX-MSDNet (ReX paper, Table 2): 6 exits.

    A 7x7 convolution of stride 2 to `width` channels and one ReX layer (6x6 patches, stride 4, a
    first hidden size of 16) make the finest of the first maps, 28x28x64 at 224 px. They take the
    place of the ImageNet net's pooling and of its finest scale, 56x56. The paper does not say which
    MSDNet it starts from or where ReX goes; with its form of ReX these defaults give its 6 exits
    and 12.7 M parameters, but 532 M MACs at the last exit for its 0.28 G.

    Arguments and errors as `msdnet`; `width * factors[0]`, ReX's channels, is a multiple of 8.
    `rex_form` as for `rex_mobilenetv2`, with these channels.
    """
    block_layers = _block_layers(base, step, blocks, mode)
    require_positive("MSDNet", width=width, growth=growth, factors=factors)
    channels = width * factors[0]
    if channels % 8:
        raise ExeuntError(
            f"width={width!r}, factors={tuple(factors)!r}; width times the finest scale's factor "
            f"is ReX's number of channels, {channels}, and must be a multiple of 8"
        )
    conv = ConvNormAct(in_chans, width, 7, stride=2, act=nn.ReLU, bias=True)
    layer = make_rex(width, channels, rex_form)
    if layer.out_channels != channels:
        raise ExeuntError(
            f"rex_form={rex_form!r} gives {layer.out_channels} channels; the finest scale has "
            f"{channels}"
        )
    return _build(
        nn.Sequential(OrderedDict(stem=conv, rex=layer)),
        block_layers,
        num_classes,
        in_chans,
        width,
        growth,
        factors,
        prune,
        reduction,
        lazy,
        exits,
        exit_head,
        exit_width,
        dropout,
    )


for _classes in (10, 100):
    register_model(
        partial(msdnet, num_classes=_classes, base=4, step=2, blocks=10),
        name=f"msdnet_cifar{_classes}",
        about=f"MSDNet for CIFAR-{_classes}, anytime prediction (Huang et al. 2018): 10 exits",
        image_size=32,
    )
for _blocks in (5, 7):
    register_model(
        partial(msdnet, base=1, step=1, blocks=_blocks, mode="lin_grow"),
        name=f"msdnet_cifar_batch{_blocks}",
        about=f"MSDNet for CIFAR, budgeted batch (Huang et al. 2018): {_blocks} exits",
        image_size=32,
    )
for _step in (4, 5, 6, 7):
    register_model(
        partial(
            msdnet,
            base=_step,
            step=_step,
            blocks=5,
            width=32,
            growth=16,
            factors=(1, 2, 4, 4),
            stem="imagenet",
        ),
        name="msdnet_imagenet" if _step == 4 else f"msdnet_imagenet_step{_step}",
        about=f"MSDNet for ImageNet, {_step} layers to a block (Huang et al. 2018): 5 exits",
    )
