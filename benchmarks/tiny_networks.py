"""The networks of `tiny.py`: public ones that others print figures for, and those that ship."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import tiny_nets
from torch import nn

from exeunt.models import create_model
from exeunt.models.weights import find_weights, load_weights
from exeunt.net import MultiExitNet


@dataclass(frozen=True)
class Network:
    """One row of the tables.

    Attributes:
        key: by which figures are kept, ours and others': name and pixels.
        title: that is shown.
        pixels: height and width of the image.
        build: makes it.
        group: what it is known from.
    """

    key: str
    title: str
    pixels: int
    build: Callable[[], MultiExitNet]
    group: str


def _registered(name: str, classes: int, exits: Any = "last", **arguments: Any) -> MultiExitNet:
    return create_model(name, num_classes=classes, exits=exits, **arguments)


def _chain(name: str) -> MultiExitNet:
    return tiny_nets.with_exits(tiny_nets.blocks_of(name)[1], [])


def _shipped(name: str) -> MultiExitNet:
    net: nn.Module = load_weights(find_weights(name))[0]
    assert isinstance(net, MultiExitNet)
    return net


MLPERF, MSF, MOBILE, SHIPPED = "MLPerf Tiny", "msf-CNN's and MCUNet's", "phones'", "ships here"
_SHIPPED = (("rex_mobilenetv2_075.imagenette", 112), ("rex_mobilenetv2_075.everyday64", 96))

NETWORKS: tuple[Network, ...] = (
    Network(
        "mobilenetv1_025@96",
        "MobileNetV1 x0.25, visual wake words",
        96,
        partial(_registered, "mobilenetv1_025", 2),
        MLPERF,
    ),
    Network(
        "mobilenetv1_025@224",
        "MobileNetV1 x0.25",
        224,
        partial(_registered, "mobilenetv1_025", 5),
        MOBILE,
    ),
    Network("resnet8@32", "ResNet8", 32, partial(_registered, "resnet8", 10), MLPERF),
    Network(
        "resnet8_exit1@32",
        "ResNet8, with an exit after its first block",
        32,
        partial(_registered, "resnet8", 10, [0]),
        MLPERF,
    ),
    Network(
        "mcunetv2_vww_5fps@80",
        "MCUNetV2, visual wake words at 5 fps, as a chain",
        80,
        partial(_chain, "mcunetv2_vww_5fps"),
        MSF,
    ),
    Network(
        "mcunet_320kb@176",
        "MCUNet 320 KB, as a chain",
        176,
        partial(_chain, "mcunet_320kb"),
        MSF,
    ),
    Network(
        "mobilenetv2_035_chain@144",
        "MobileNetV2 x0.35, as a chain",
        144,
        partial(_chain, "mobilenetv2_035"),
        MSF,
    ),
    Network(
        "mobilenetv2_030@80",
        "MobileNetV2 x0.30",
        80,
        partial(_registered, "mobilenetv2", 2, width=0.3),
        MOBILE,
    ),
    *(
        Network(
            f"mobilenetv2_035@{pixels}",
            "MobileNetV2 x0.35",
            pixels,
            partial(_registered, "mobilenetv2_035", 1000),
            MOBILE,
        )
        for pixels in (128, 144)
    ),
    Network(
        "mobilenetv2@224", "MobileNetV2", 224, partial(_registered, "mobilenetv2", 1000), MOBILE
    ),
    Network(
        "efficientnet_lite0@224",
        "EfficientNet-Lite0",
        224,
        partial(_registered, "efficientnet_lite0", 1000),
        MOBILE,
    ),
    *(
        Network(f"{name}@{pixels}", f"`{name}`", pixels, partial(_shipped, name), SHIPPED)
        for name, pixels in _SHIPPED
    ),
)


def of_cell(cell: str) -> Network:
    """A network with ReX of such cells, and six exits."""
    return Network(
        f"rex_mobilenetv2_050({cell})@112",
        f"MobileNetV2 x0.5 with ReX of {cell} cells",
        112,
        partial(_registered, "rex_mobilenetv2_050", 10, "paper", rex_form={"cell": cell}),
        "ReX's",
    )
