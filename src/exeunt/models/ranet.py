"""RANet, the resolution-adaptive network (Yang et al. 2020).

Sub-networks work on base features of growing resolution, the first on the lowest. Each ends in
dense blocks with an exit after each; before these, a later sub-network has one fusion block for
every block of the sub-network before it, whose features it reads, and comes down to the lowest
resolution on the way. All exits read maps of that resolution, and a sub-network begins only in the
stage of its first exit. All base features are made in the first stage, the low ones of the high.

In the state (`exeunt.models.flow`), a tensor is named after the module that began it, and grows
under that name: `base0` is the first sub-network's base feature and, since dense blocks put new
channels behind the old, everything made of it, of which the second sub-network reads prefixes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from torch import nn

from exeunt.chain import exit_places
from exeunt.errors import ExeuntError
from exeunt.models.flow import Feature, Node, flow_net
from exeunt.models.registry import register_model
from exeunt.models.stem import multi_scale_stem
from exeunt.net import MultiExitNet
from exeunt.ops.conv import ConvNormAct
from exeunt.ops.fusion import DenseBlock, FusionBlock
from exeunt.ops.sizes import require_positive


@dataclass(frozen=True)
class _Low:
    """Where the next sub-network finds a block's features x_0 to x_L, and their channels."""

    early: str  # x_0 to x_{L-1}
    last: str  # x_L
    channels: list[int]


def _base_nodes(
    stem: str, in_chans: int, scales: Sequence[int], widths: Sequence[int]
) -> list[Node]:
    """The base features of all sub-networks, the last one's first."""
    top = len(scales) - 1
    nodes = [
        Node(
            f"base{top}", multi_scale_stem(stem, in_chans, widths[top]), ("image",), (f"base{top}",)
        )
    ]
    for i in reversed(range(top)):
        stride = 1 if scales[i] == scales[i + 1] else 2
        module = ConvNormAct(widths[i + 1], widths[i], 3, stride, act=nn.ReLU)
        nodes.append(Node(f"base{i}", module, (f"base{i + 1}",), (f"base{i}",)))
    return nodes


def _downs(scales: Sequence[int], counts: Sequence[int], i: int) -> set[int]:
    """The fusion blocks of sub-network i that halve the resolution, 0-based.

    They are the counterparts of the last blocks of earlier sub-networks, as many as it takes to
    come down to the lowest resolution. (The published code has as many as the scale less one,
    which is the same for scales that begin at 1, go up by 1 at most and do not repeat 1.)
    """
    halvings = len({*scales[: i + 1]}) - 1
    return {counts[h] - 1 for h in range(i - halvings, i)}


def _transitions(scale: int, count: int) -> set[int]:
    """The blocks, of `count`, that end in a transition, 0-based: they split them evenly."""
    return {(q + 1) * count // scale - 1 for q in range(scale - 1)}


def _check_sequences(scales: Sequence[int], **others: Sequence[int]) -> None:
    """Raises unless scales ascend and all hold as many whole numbers above 0."""
    require_positive("RANet", scales=scales, **others)
    if list(scales) != sorted(scales):
        raise ExeuntError(f"scales={scales!r}; give them from the lowest resolution to the highest")
    for name, values in others.items():
        if len(values) != len(scales):
            raise ExeuntError(
                f"{name}={values!r}; give one for each of the {len(scales)} sub-networks of "
                f"scales={scales!r}"
            )


@register_model
def ranet(
    num_classes: int = 1000,
    in_chans: int = 3,
    *,
    scales: Sequence[int] = (1, 2, 3, 4),
    factors: Sequence[int] = (4, 2, 2, 1),
    bottlenecks: Sequence[int] | None = None,
    width: int = 64,
    growth: int = 16,
    blocks: int = 2,
    block_step: int = 2,
    step: int = 8,
    mode: str = "even",
    reduction: float = 0.5,
    compress: float = 0.25,
    stem: str = "imagenet",
    exits: str | Sequence[int] = "paper",
    exit_head: str | Sequence[str] = "conv",
    exit_width: int | None = None,
    dropout: float = 0.0,
) -> MultiExitNet:
    """RANet (Yang et al. 2020): sub-networks from low to high resolution, two exits each.

    For images of 32 px and more. Sequences have one entry for each sub-network, the lowest
    resolution first. All weights are initialised alike; the published code leaves the layers of the
    base features at PyTorch's defaults.

    Args:
        num_classes: K.
        in_chans: channels of the image.
        scales: resolutions, ascending. Equal ones share a resolution, and a greater one, by however
            much, has twice that of the one before. At scale s there are up to s - 1 transitions.
        factors: of `width` and `growth`.
        bottlenecks: widths of the layers' bottlenecks, in output channels; as `factors` if None.
        width: channels of a base feature, times the factor.
        growth: channels that a layer adds, times the factor.
        blocks: of the first sub-network, with an exit after each.
        block_step: how many more blocks each sub-network has than the one before; its last
            `block_step` blocks have exits.
        step: layers in a block, or in the first block.
        mode: `"even"` (every block has `step` layers) or `"lg"` (the n-th has `n * step`).
        reduction: share of the channels that a transition keeps.
        compress: share of new channels that comes from the sub-network before.
        stem: `"imagenet"` (7x7 and max-pool, both stride 2) or `"cifar"` (3x3, stride 1).
        exits: `"paper"` or `"all"` (all of them), `"last"` (the ordinary network) or 0-based
            positions among the exits; the last exit always is.
        exit_head: `"pooled"`, `"mixed"`, `"rex"` or `"conv"`, for all exits but the last, which is
            `"conv"`; or one of them for each exit, in order.
        exit_width: channels in a `"conv"` head; those of the map if None.
        dropout: before the last classifier.

    Raises:
        ExeuntError: for sizes, shares, a mode, a stem, an exit or a head that cannot be.
    """
    bottlenecks = factors if bottlenecks is None else bottlenecks
    _check_sequences(scales=scales, factors=factors, bottlenecks=bottlenecks)
    require_positive(
        "RANet", width=width, growth=growth, blocks=blocks, block_step=block_step, step=step
    )
    if mode not in ("even", "lg"):
        raise ExeuntError(f"mode={mode!r}; one of 'even', 'lg'")
    if not 0 < reduction <= 1:
        raise ExeuntError(f"reduction={reduction!r}; give a share above 0, at most 1")
    if not 0 < compress < 1:
        raise ExeuntError(f"compress={compress!r}; give a share between 0 and 1")
    if exit_width is not None:
        require_positive("RANet", exit_width=exit_width)

    nodes = _base_nodes(stem, in_chans, scales, [width * factor for factor in factors])
    counts = [blocks + block_step * i for i in range(len(scales))]
    depths = [step * (b + 1) if mode == "lg" else step for b in range(counts[-1])]
    ends: dict[str, Feature] = {}  # of the blocks after which an exit may be
    lows: list[_Low] = []
    for i, scale in enumerate(scales):
        tensor, channels = f"base{i}", width * factors[i]
        downs, transitions = _downs(scales, counts, i), _transitions(scale, counts[i])
        made: list[_Low] = []
        for b in range(counts[i]):
            name, reads, writes = f"sub{i}_block{b}", [tensor], [tensor]
            kept = reduction if b in transitions else None
            block: DenseBlock | FusionBlock
            if b < len(lows):
                block = FusionBlock(
                    channels,
                    lows[b].channels,
                    growth * factors[i],
                    share=compress,
                    down=b in downs,
                    factor=bottlenecks[i],
                    low_factor=bottlenecks[i - 1],
                    reduction=kept,
                )
                reads += [lows[b].early, lows[b].last]
                writes += [f"{name}.down"] if b in downs else []
            else:
                block = DenseBlock(
                    channels, growth * factors[i], depths[b], bottlenecks[i], reduction=kept
                )
            made.append(_Low(tensor, writes[-1], block.channels))
            writes += [] if kept is None else [f"{name}.transition"]
            nodes.append(Node(name, block, tuple(reads), tuple(writes)))
            tensor, channels = writes[-1], block.out_channels
            if b >= len(lows):
                ends[name] = Feature(tensor, channels)
        lows = made

    every = range(len(ends))
    presets = {"paper": every, "all": every, "last": []}
    places = {*exit_places(exits, presets, len(ends)), every[-1]}
    chosen = {name: end for place, (name, end) in enumerate(ends.items()) if place in places}
    return flow_net(
        nodes,
        chosen,
        num_classes,
        in_chans,
        exit_head=exit_head,
        exit_width=exit_width,
        dropout=dropout,
    )


_cifar = partial(ranet, stem="cifar", width=16, growth=6, exit_width=128)
_imagenet = partial(ranet, scales=(1, 2, 3, 4), factors=(4, 2, 2, 1), growth=16, step=8)
for _classes in (10, 100):
    register_model(
        partial(_cifar, num_classes=_classes, scales=(1, 2, 3, 3), factors=(4, 2, 1, 1), step=4),
        name=f"ranet_cifar{_classes}",
        about=f"RANet for CIFAR-{_classes}, anytime prediction (Yang et al. 2020): 8 exits",
        image_size=32,
    )
for _n, _scales, _factors in (
    (1, (1, 2, 3), (4, 2, 1)),
    (2, (1, 2, 2, 3), (4, 2, 2, 1)),
    (3, (1, 2, 3, 3), (4, 2, 1, 1)),
):
    register_model(
        partial(_cifar, scales=_scales, factors=_factors, step=2, mode="lg"),
        name=f"ranet_cifar_batch{_n}",
        about=f"RANet {_n} for CIFAR, budgeted batch (Yang et al. 2020): {2 * len(_scales)} exits",
        image_size=32,
    )
for _suffix, _width, _use in (
    ("", 64, "anytime prediction and budgeted batch"),
    ("_batch1", 32, "budgeted batch"),
):
    register_model(
        partial(_imagenet, width=_width),
        name=f"ranet_imagenet{_suffix}",
        about=f"RANet for ImageNet, {_use} (Yang et al. 2020): 8 exits",
    )
