"""Chains of blocks cut into stages: shallow-deep networks (Kaya et al. 2019)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from exeunt.errors import ExeuntError
from exeunt.net import MultiExitNet, Stage
from exeunt.ops.exits import make_exit


@dataclass(frozen=True)
class Block:
    """A named link of a chain, and the channels it puts out."""

    name: str
    module: nn.Module
    channels: int


def chain(
    blocks: Sequence[Block],
    exits_after: Iterable[int],
    make_head: Callable[[int, bool], nn.Module],
) -> list[Stage]:
    """Cuts a chain of blocks into stages, one exit after each block in `exits_after`.

    Args:
        blocks: in order; the last always has an exit.
        exits_after: 0-based positions in `blocks`.
        make_head: called with the channels of the feature and whether it is the last exit.
    """
    last = len(blocks) - 1
    ends = sorted({*exits_after, last})
    stages = []
    for start, end in zip([0, *(end + 1 for end in ends)], ends, strict=False):
        trunk = nn.Sequential(
            OrderedDict((block.name, block.module) for block in blocks[start : end + 1])
        )
        stages.append(Stage(trunk, make_head(blocks[end].channels, end == last)))
    return stages


def attach_exits(
    backbone: nn.Sequential,
    at: Sequence[int | str],
    num_classes: int,
    *,
    exit_head: str = "pooled",
    image_shape: tuple[int, int, int] = (3, 64, 64),
) -> MultiExitNet:
    """Makes a shallow-deep network of a sequential backbone (Kaya et al. 2019).

    The backbone's modules are used, not copied. It ends in a feature map; its own classifier, if
    it has one, is left out by the caller (`backbone[:-1]`), since every exit brings one.

    Args:
        backbone: its children are the blocks, each mapping one (N, C, H, W) to another.
        at: children after which a net may stop, by position (0-based, negative from the end) or
            by name; the last child always gets an exit.
        num_classes: K.
        exit_head: kind of every exit; see `exeunt.ops.exits`.
        image_shape: (C, H, W) of an image for the dry run that finds the channels.

    Raises:
        ExeuntError: for a position or name that does not exist, or a child that does not put out
            one (N, C, H, W) map.
    """
    names = [name for name, _ in backbone.named_children()]
    if not names:
        raise ExeuntError("attach_exits: the backbone has no children to put exits after")
    exits_after = [_position(names, tap) for tap in at]
    training = backbone.training
    backbone.eval()
    reference = next(backbone.parameters(), torch.empty(0))
    x = reference.new_zeros(1, *image_shape)
    blocks = []
    with torch.no_grad():
        for name, module in backbone.named_children():
            x = module(x)
            if not isinstance(x, Tensor) or x.dim() != 4:
                got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
                raise ExeuntError(
                    f"attach_exits: {name!r} ({type(module).__name__}) puts out {got}; every "
                    "child must put out one map (N, C, H, W). Leave a classifier out"
                )
            blocks.append(Block(name, module, x.shape[1]))
    backbone.train(training)
    stages = chain(
        blocks, exits_after, lambda channels, last: make_exit(exit_head, channels, num_classes)
    )
    return MultiExitNet(stages, num_classes, image_shape[0]).train(training)


def _position(names: Sequence[str], tap: int | str) -> int:
    count = len(names)
    if isinstance(tap, str) and tap in names:
        return names.index(tap)
    if isinstance(tap, int) and -count <= tap < count:
        return tap % count
    shown = ", ".join(names[:12]) + (", ..." if count > 12 else "")
    raise ExeuntError(f"attach_exits: no child {tap!r}; positions 0 to {count - 1}, names {shown}")


def resolve_exits(
    exits: str | Sequence[int], presets: Mapping[str, Sequence[int]], count: int
) -> list[int]:
    """Blocks that `exits` asks for: a preset's name, or 0-based positions among `count` blocks.

    Raises:
        ExeuntError: for an unknown name or a position out of range.
    """
    if isinstance(exits, str):
        if exits not in presets:
            valid = ", ".join(repr(name) for name in presets)
            raise ExeuntError(f"exits={exits!r}; one of {valid}, or a list of block positions")
        return list(presets[exits])
    bad = [at for at in exits if not isinstance(at, int) or not 0 <= at < count]
    if bad:
        raise ExeuntError(f"exits: no block {bad[0]!r}; positions 0 to {count - 1}")
    return sorted(set(exits))
