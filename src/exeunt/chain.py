"""Chains of blocks cut into stages: shallow-deep networks (Kaya et al. 2019)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from itertools import accumulate, groupby

import torch
from torch import nn

from exeunt.errors import ExeuntError, one_of
from exeunt.mode import evaluating
from exeunt.net import MultiExitNet, Stage
from exeunt.ops.conv import init_conv_net
from exeunt.ops.exits import exit_kinds, make_exit
from exeunt.ops.macs import counting_macs

SDN_SHARES = (0.15, 0.30, 0.45, 0.60, 0.75, 0.90)
"""Where shallow-deep networks put their six internal exits, as shares of the net's operations."""


@dataclass(frozen=True)
class Block:
    """A link of a chain, and the channels it puts out.

    A dotted name nests: `layer2.1` is the child `1` of a child `layer2` of the stage's trunk.
    """

    name: str
    module: nn.Module
    channels: int


def chain(
    blocks: Sequence[Block],
    exits_after: Iterable[int],
    make_head: Callable[[int, int], nn.Module],
) -> list[Stage]:
    """Cuts a chain of blocks into stages, one exit after each block in `exits_after`.

    Args:
        blocks: in order; the last always has an exit.
        exits_after: 0-based positions in `blocks`.
        make_head: called with the exit's index and the channels of its feature.
    """
    ends = sorted({*exits_after, len(blocks) - 1})
    stages = []
    for k, (start, end) in enumerate(zip([0, *(end + 1 for end in ends)], ends, strict=False)):
        trunk = nest([(block.name, block.module) for block in blocks[start : end + 1]])
        stages.append(Stage(trunk, make_head(k, blocks[end].channels)))
    return stages


def chain_net(
    blocks: Sequence[Block],
    exits: str | Sequence[int],
    presets: Mapping[str, Sequence[int]],
    candidates: Sequence[int],
    num_classes: int,
    in_chans: int,
    *,
    exit_head: str | Sequence[str],
    dropout: float,
) -> MultiExitNet:
    """A freshly initialised network of a chain.

    Args:
        blocks: as `chain` takes them.
        exits: where the net may stop: the name of a preset, or 0-based positions in `candidates`;
            the last block always has an exit.
        presets: positions in `candidates`, by name.
        candidates: positions in `blocks` after which an exit may be.
        num_classes: K.
        in_chans: channels of the image.
        exit_head: kind of all exits but the last, which is pooled; or the kind of each. See
            `exeunt.ops.exits`.
        dropout: before the last classifier.

    Raises:
        ExeuntError: for an unknown preset, a position out of range or an unknown exit head.
    """
    places = exit_places(exits, presets, len(candidates))
    ends = {candidates[place] for place in places} | {len(blocks) - 1}
    kinds = exit_kinds(exit_head, len(ends), last="pooled")

    def make_head(k: int, channels: int) -> nn.Module:
        return make_exit(kinds[k], channels, num_classes, dropout if k == len(kinds) - 1 else 0.0)

    stages = chain(blocks, ends, make_head)
    net = MultiExitNet(stages, num_classes, in_chans)
    init_conv_net(net)
    return net


def nest(links: Sequence[tuple[str, nn.Module]]) -> nn.Sequential:
    """A Sequential of named modules, with another one for each shared beginning of dotted names."""
    nested = nn.Sequential()
    for head, group in groupby(links, key=lambda link: link[0].partition(".")[0]):
        inside = [(name.partition(".")[2], module) for name, module in group]
        nested.add_module(head, nest(inside) if inside[0][0] else inside[0][1])
    return nested


def taps_by_rule(groups: Sequence[Sized], first: int) -> list[int]:
    """The ReX paper's exits, "after every two blocks": within each group from `first` on, after
    every second block, or after the only one.

    Args:
        groups: consecutive groups of blocks; only their lengths matter.
        first: index of the first group with exits.

    Returns:
        0-based positions among the blocks of all groups.
    """
    taps: list[int] = []
    start = 0
    for g, group in enumerate(groups):
        if g >= first:
            taps += [start] if len(group) == 1 else range(start + 1, start + len(group), 2)
        start += len(group)
    return taps


def taps_by_share(
    blocks: Sequence[Block], candidates: Sequence[int], image_shape: tuple[int, int, int]
) -> list[int]:
    """The exits of shallow-deep networks: where a chain's MACs are nearest to `SDN_SHARES`.

    Args:
        blocks: the whole chain, for a dry run.
        candidates: positions in `blocks` after which an exit may be.
        image_shape: (C, H, W) of the image at which MACs are counted. The shares, and so the exits,
            of a convolutional chain are the same at every H and W that its strides divide.

    Returns:
        0-based positions in `candidates`, one for each share; in a short chain some are the same.
    """
    x = next(blocks[0].module.parameters()).new_zeros(1, *image_shape)
    costs = []
    for block in blocks:
        with torch.no_grad(), evaluating(block.module), counting_macs(block.module) as count:
            x = block.module(x)
        costs.append(count.total)
    reached = list(accumulate(costs))
    return [
        min(range(len(candidates)), key=lambda i: abs(reached[candidates[i]] - share * reached[-1]))
        for share in SDN_SHARES
    ]


def exit_places(
    exits: str | Sequence[int], presets: Mapping[str, Sequence[int]], count: int
) -> list[int]:
    """Positions among `count` candidates that `exits` asks for.

    Args:
        exits: the name of a preset, or 0-based positions.
        presets: positions by name.
        count: of candidates.

    Raises:
        ExeuntError: for an unknown preset or a position out of range.
    """
    if isinstance(exits, str):
        if exits not in presets:
            raise ExeuntError(
                f"exits={exits!r}; {one_of(exits, presets)}, or a list of block positions"
            )
        return list(presets[exits])
    bad = [at for at in exits if not isinstance(at, int) or not 0 <= at < count]
    if bad:
        raise ExeuntError(f"exits: no block {bad[0]!r}; positions 0 to {count - 1}")
    return sorted(set(exits))
