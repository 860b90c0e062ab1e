"""Lightning trains, and what it leaves is a file that every command of exeunt takes.

python examples/own_loop/with_lightning.py photos mine.safetensors
exeunt eval mine.safetensors photos
"""

from __future__ import annotations

import sys
from typing import Any

import lightning
import torch
from photos import Photos
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

import exeunt
from exeunt.data import SplitSpec, Transform, fingerprint, make_splits, open_source
from exeunt.net import MultiExitNet


class LitNet(lightning.LightningModule):
    """Every exit learns with the same weight."""

    def __init__(self, net: MultiExitNet) -> None:
        super().__init__()
        self.net = net

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        images, labels = batch
        losses = torch.stack([cross_entropy(logits, labels) for logits in self.net(images)])
        self.log("loss", losses.mean(), prog_bar=True)
        return losses.mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


def train(folder: str, out: str, epochs: int = 20, image_size: int = 96, **trainer: Any) -> None:
    source, split = open_source(folder), SplitSpec()  # 15 % to calibrate on, 15 % to test on
    transform = Transform((image_size, image_size))
    photos = Photos(make_splits(source, split).train, transform)
    batches = DataLoader(photos, batch_size=32, shuffle=True, drop_last=True)

    net = exeunt.create_model("rex_mobilenetv2_050", num_classes=len(source.class_names))
    lit = LitNet(net)
    lightning.Trainer(max_epochs=epochs, **trainer).fit(lit, batches)

    clf = exeunt.Classifier(
        lit.net,
        transform=transform,
        class_names=source.class_names,
        split=split,
        data_name=folder,
        data_fingerprint=fingerprint(source.samples),
    )
    clf.save(out)


if __name__ == "__main__":
    train(*sys.argv[1:3])
