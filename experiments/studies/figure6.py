"""Figure 6 of the ReX paper: one layer from 32x32 pixels to a vector, then a linear classifier."""

from __future__ import annotations

from collections.abc import Sequence

from harness.claims import Claim, compared
from harness.measure import CURVE, curve
from harness.results import Row
from harness.study import Run, Scale, Study
from torch import Tensor, nn

from exeunt import register_model
from exeunt.chain import Block, chain_net
from exeunt.net import MultiExitNet
from exeunt.ops.pooling import MixedPool2d
from exeunt.ops.renet import ReNet2d
from exeunt.ops.rex import ReX2d

SIZE, WIDTH = 32, 128
PRINTED = {"ReX": 72.71, "convolution": 56.24, "ReNet": 41.16, "mixed pooling": 34.46}


class ReNetVector(nn.Module):
    """ReNet over the pixels of a map, and the mean of what it puts out, (N, C, H, W) to one pixel.

    The paper gives no sizes for it; this has the vector's width and sees every pixel.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.renet = ReNet2d(in_channels, hidden=WIDTH // 2, patch_size=4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.renet(x)
        return out.mean((2, 3), keepdim=True)


def _layer(kind: str, channels: int) -> nn.Module:
    if kind == "ReX":
        return ReX2d(channels, hidden1=32, hidden2=16, patch_size=SIZE, stride=SIZE)
    if kind == "convolution":
        return nn.Conv2d(channels, WIDTH, SIZE, stride=SIZE)
    if kind == "ReNet":
        return ReNetVector(channels)
    return nn.Sequential(nn.Conv2d(channels, WIDTH, 1), MixedPool2d(SIZE))


@register_model(image_size=SIZE)
def one_layer(num_classes: int = 10, in_chans: int = 3, *, kind: str = "ReX") -> MultiExitNet:
    """One layer of a kind in `PRINTED`, and a linear classifier."""
    layer = Block("layer", _layer(kind, in_chans), WIDTH)
    return chain_net(
        [layer], "last", {"last": []}, [], num_classes, in_chans, exit_head="pooled", dropout=0.0
    )


SETTINGS = {
    **{"image_size": SIZE, "lr": 0.05, "epochs": 90, "batch_size": 128, "label_smoothing": 0.0},
    **{"crop_scale": 1.0, "data_licence": "not stated"},
}
STUDY = Study(
    "figure6",
    "ReX, Figure 6: one layer on CIFAR-10",
    tuple(Run(kind, "one_layer", {"kind": kind}, recipe="sgd") for kind in PRINTED),
    {"small": Scale("cifar10", SETTINGS), "paper": Scale("cifar10", SETTINGS)},
    curve,
    CURVE,
)


def claims(rows: Sequence[Row]) -> list[Claim]:
    """ReX against each of the others."""
    return [
        compared(
            rows,
            f"one ReX layer is better than {other}",
            f"{PRINTED['ReX'] - PRINTED[other]:+.1f} points",
            ("ReX", other),
            "right_last",
        )
        for other in PRINTED
        if other != "ReX"
    ]
