"""MobileNetV2 with exits (Sandler et al. 2018), plain and with ReX in place of its early part.

The trunk is a stem, seven groups of inverted residuals and a 1x1 convolution. In `rex_mobilenetv2`
one ReX layer replaces the first three groups, 112x112x32 to 28x28x64 at 224 px, "after every two
blocks" an exit; with `rex_form="paper"` it is Table 1 of the ReX paper. That rule, read so that it
gives the paper's six exits: within each group that both variants have, after every second block,
and after the only block of a one-block group; then the final classifier. (Named `rex_` because
timm's ReXNet is another net.)
Table 3 puts other operators in the place of ReX: `mobilenetv2(downsample="lift")` and so on; Figure
5 puts ReX in other places: `mobilenetv2(rex_at=(3,))`, `mobilenetv2(exit_head=["rex", ...])`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from math import prod
from typing import Any

from torch import nn

from exeunt.chain import Block, chain_net, taps_by_rule
from exeunt.errors import ExeuntError
from exeunt.models.downsample import make_downsample
from exeunt.models.registry import register_model
from exeunt.net import MultiExitNet
from exeunt.ops.conv import ConvNormAct, InvertedResidual, make_divisible
from exeunt.ops.rex import ReX2d

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
    rex_at: Sequence[int],
    num_classes: int,
    in_chans: int,
    width: float,
    exits: str | Sequence[int],
    exit_head: str | Sequence[str],
    dropout: float,
    rex_form: str | Mapping[str, Any] | None = "paper",
    deeper: int = 0,
) -> MultiExitNet:
    if not width > 0:
        raise ExeuntError(f"width={width!r}; give a number above 0, such as 0.5 or 1.0")
    if deeper < 0:
        raise ExeuntError(f"deeper={deeper!r}; give 0 or more blocks")
    rows = [
        (f"group{g}_block{b}", expansion, make_divisible(base * width), stride if b == 0 else 1)
        for g, (expansion, base, count, stride) in enumerate(GROUPS)
        for b in range(count)
    ]
    counts = [range(count) for _, _, count, _ in GROUPS]
    early, ends = taps_by_rule(counts[:REPLACED_GROUPS], 0), taps_by_rule(counts, REPLACED_GROUPS)
    modules = _modules(rex_at, ends)

    channels = make_divisible(32 * width)
    stem = Block("stem", ConvNormAct(in_chans, channels, 3, stride=2), channels)
    blocks: list[Block] = []
    places = {}  # of the plain net's blocks, or of what replaced them
    at = 0
    if downsample is not None:
        blocks.append(make_downsample(downsample, channels, make_divisible(64 * width), rex_form))
        channels = blocks[0].channels
        at = sum(len(group) for group in counts[:REPLACED_GROUPS])
        early = []
    while at < len(rows):
        name, expansion, out, stride = rows[at]
        if at in modules:
            number, last = modules[at]
            stride = prod(row[3] for row in rows[at : last + 1])
            name, at, out = f"rex{number}", last, rows[last][2]
            module: nn.Module = ReX2d(channels, out // 4, out // 8, stride + 2, stride)
        else:
            module = InvertedResidual(channels, out, stride, expansion)
        places[at] = len(blocks)
        blocks.append(Block(name, module, out))
        channels = out
        if name == f"group{REPLACED_GROUPS}_block0":
            more = (InvertedResidual(out, out, 1, expansion) for _ in range(deeper))
            blocks += [Block(f"{name}_more{k}", block, out) for k, block in enumerate(more)]
        at += 1
    features = make_divisible(1280 * max(1.0, width))
    head = Block("head", ConvNormAct(channels, features), features)

    paper = [places[end] for end in ends]
    first = [places[end] for end in early] if downsample is None else [0]
    return chain_net(
        [stem, *blocks, head],
        exits,
        {"paper": paper, "all": [*first, *paper], "last": []},
        range(1, 1 + len(blocks)),
        num_classes,
        in_chans,
        exit_head=exit_head,
        dropout=dropout,
    )


def _modules(rex_at: Sequence[int], ends: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Number and last block of every module after the first that ReX replaces, by first block.

    Raises:
        ExeuntError: for a number that no module has.
    """
    spans = {m: (ends[m - 2] + 1, ends[m - 1]) for m in range(2, len(ends) + 1)}
    bad = [m for m in rex_at if m not in spans and m != 1]
    if bad:
        raise ExeuntError(f"rex_at: no module {bad[0]!r}; modules 1 to {len(ends)} can be replaced")
    return {spans[m][0]: (m, spans[m][1]) for m in rex_at if m in spans}


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
    rex_at: Sequence[int] = (),
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
            `"renet"`, `"rex_renet"`, `"stride"`, `"space_to_depth"`, `"mixed"`, `"gated"`,
            `"gfgp"`, `"lift"`, `"average"` or `"max"` (see `exeunt.models.downsample`). Positions
            for `exits` are then those of `rex_mobilenetv2`.
        rex_at: modules that one ReX layer each replaces, as in the paper's Figure 5: 1 is the early
            part, as in `rex_mobilenetv2`; m up to 5 the blocks between exits m - 1 and m. Those
            keep strides and channels, hidden sizes are an eighth and a quarter of the channels (as
            in Table 1), and patches overlap by 2 pixels. The replaced blocks count as one position.

    Raises:
        ExeuntError: for a width, an exit, a head, a module or a downsampling operator that is not
            there, or `downsample` together with module 1.
    """
    if 1 in rex_at:
        if downsample is not None:
            raise ExeuntError(f"downsample={downsample!r} and module 1 in rex_at; give one of them")
        downsample = "rex"
    return _build(downsample, rex_at, num_classes, in_chans, width, exits, exit_head, dropout)


@register_model
def rex_mobilenetv2(
    num_classes: int = 1000,
    in_chans: int = 3,
    *,
    width: float = 1.0,
    exits: str | Sequence[int] = "paper",
    exit_head: str | Sequence[str] = "pooled",
    dropout: float = 0.2,
    rex_form: str | Mapping[str, Any] | None = None,
    deeper: int = 0,
) -> MultiExitNet:
    """ReX-MobileNetV2 (ReX paper, Table 1, with `rex_form="paper"`): 6 exits, images of 32 px and
    more.

    One ReX layer (6x6 patches, stride 4, hidden sizes 16 and 8) and 11 blocks. With a width
    multiplier the first hidden size stays 16 and the second follows the 64 output channels.
    `rex_form` says what ReX is made of, see `exeunt.ops.rex_block`: a name, such as `"paper"`, or
    what differs from the paper's form; by default `NETWORK_FORM`, which costs less (what each
    gains: `docs/rex.md`). `deeper` blocks more stand behind the first one, before all exits. Other
    arguments and errors as `mobilenetv2`; the positions for `exits` are ReX, 0, then the blocks;
    `"all"` adds an exit behind ReX itself (7).
    """
    return _build(
        "rex", (), num_classes, in_chans, width, exits, exit_head, dropout, rex_form, deeper
    )


for _tag, _width in WIDTHS.items():
    register_model(partial(mobilenetv2, width=_width), name=f"mobilenetv2_{_tag}")
    register_model(partial(rex_mobilenetv2, width=_width), name=f"rex_mobilenetv2_{_tag}")
