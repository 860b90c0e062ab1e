"""Peak memory of networks that others have planned: what they publish, and ours beside it.

    python experiments/references.py

Expected time: half a minute. Everything is int8, batch 1, in bytes; "factor" is multiply-adds over
those of the network run layer by layer, where the publication says it. Networks that others plan
whole map by whole map are planned so here; what others stream is streamed too.

Sources: TFLite Micro's arena is what the interpreter's recording allocator says of the reference
files of MLPerf Tiny, without its tail of structures; the live set follows from their shapes.
msf-CNN's figures are those of the result files of TinyPART/msf-CNN (NeurIPS 2025), computed and,
behind an arrow, measured; how wide its MobileNetV2 is, they do not say. MCUNetV2's is in the
abstract of arXiv 2110.15352.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from exeunt.backbone import attach_exits
from exeunt.graph import build_graph
from exeunt.models import create_model
from exeunt.net import MultiExitNet
from exeunt.ops.conv import ConvNormAct
from exeunt.ops.residual import BasicBlock
from exeunt.profile.planned import layerwise_memory, streamed_memory
from exeunt.text import aligned

# Channels and stride of the depthwise-separable blocks of MobileNetV1 at width 0.25
MOBILENETV1_025 = (
    *((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2)),
    *(((128, 1),) * 5),
    *((256, 2), (256, 1)),
)


def mobilenetv1_025() -> MultiExitNet:
    """The Visual Wake Words network of MLPerf Tiny, 96 px."""
    blocks = [ConvNormAct(3, 8, 3, stride=2, act=nn.ReLU)]
    channels = 8
    for out, stride in MOBILENETV1_025:
        blocks.append(ConvNormAct(channels, channels, 3, stride, groups=channels, act=nn.ReLU))
        blocks.append(ConvNormAct(channels, out, act=nn.ReLU))
        channels = out
    return attach_exits(nn.Sequential(*blocks), [-1], 2, image_shape=(3, 96, 96))


def resnet8() -> MultiExitNet:
    """The CIFAR-10 network of MLPerf Tiny, 32 px."""
    parts = OrderedDict(
        stem=ConvNormAct(3, 16, 3, act=nn.ReLU),
        block0=BasicBlock(16, 16),
        block1=BasicBlock(16, 32, 2),
        block2=BasicBlock(32, 64, 2),
    )
    return attach_exits(nn.Sequential(parts), [-1], 10, image_shape=(3, 32, 32))


def mobilenetv2_035() -> MultiExitNet:
    """MobileNetV2 at width 0.35, one exit."""
    return create_model("mobilenetv2_035", 1000, exits="last")


@dataclass(frozen=True)
class Published:
    """A figure of somebody else.

    Attributes:
        who: with which method.
        size: in bytes, as published.
        factor: of multiply-adds, or nothing.
    """

    who: str
    size: str
    factor: str = ""


@dataclass(frozen=True)
class Reference:
    """A network.

    Attributes:
        name: of it, and of its images' size in pixels.
        make: builds it here; None if it cannot be had here.
        image_size: in pixels.
        published: figures.
        streamed: whether rows are streamed there, and so here.
    """

    name: str
    make: Callable[[], MultiExitNet] | None
    image_size: int
    published: tuple[Published, ...]
    streamed: bool = False


REFERENCES = (
    Reference(
        "MobileNetV1-0.25 at 96 (VWW)",
        mobilenetv1_025,
        96,
        (
            Published("TFLite Micro, greedy planner", "73,728"),
            Published("live set", "55,296"),
        ),
    ),
    Reference(
        "ResNet-8 at 32 (CIFAR-10)",
        resnet8,
        32,
        (Published("TFLite Micro, greedy planner", "49,152"), Published("live set", "49,152")),
    ),
    Reference(
        "MobileNetV2-0.35 at 144",
        mobilenetv2_035,
        144,
        (
            Published("msf-CNN, layer by layer", "194,400"),
            Published("msf-CNN, at most 64 KB", "63,603", "1.23"),
            Published("msf-CNN", "15,340", "1.38"),
            Published("msf-CNN", "7,887 -> 8,560", "1.68"),
        ),
        streamed=True,
    ),
    Reference(
        "MCUNetV2, VWW at 80",
        None,
        80,
        (
            Published("msf-CNN, layer by layer", "96,000"),
            Published("msf-CNN", "26,128", "1.11"),
            Published("msf-CNN", "13,376 -> 17,904", "1.35"),
            Published("msf-CNN", "12,000 -> 15,368", "1.96"),
            Published("MCUNetV2, over 90 % right", "below 32 kB"),
        ),
    ),
)


def main() -> None:
    """Prints the table."""
    lines = []
    for reference in REFERENCES:
        found = list(reference.published)
        macs = "not here"
        if reference.make is not None:
            graph = build_graph(reference.make(), reference.image_size)
            macs = f"{graph.exit_macs[-1] / 1e6:.2f} M MACs"
            whole = layerwise_memory(graph, "int8")
            found.append(Published("exeunt, layerwise, with the image", f"{whole.total_bytes:,}"))
            found.append(Published("the same, without it", f"{whole.without_image_bytes:,}"))
            if reference.streamed:
                rows = streamed_memory(graph, "int8")
                found.append(Published("exeunt, streamed", f"{rows.total_bytes:,}", "1"))
        for k, one in enumerate(found):
            name = (reference.name, macs)[k] if k < 2 else ""
            lines.append((name, one.who, one.size, one.factor))
    titles = ("network", "planned by", "bytes", "factor")
    print(*aligned([titles, *lines], "llrr"), sep="\n")


if __name__ == "__main__":
    main()
