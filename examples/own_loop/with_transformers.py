"""The Trainer of Hugging Face transformers, and a file that every command of exeunt takes.

python examples/own_loop/with_transformers.py photos mine.safetensors
exeunt eval mine.safetensors photos
"""

from __future__ import annotations

import sys
import tempfile
from typing import Any

import torch
from photos import Photos
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import Trainer, TrainingArguments

import exeunt
from exeunt.data import SplitSpec, Transform, fingerprint, make_splits, open_source
from exeunt.net import MultiExitNet


class WithLoss(nn.Module):
    """As the Trainer likes it: images and labels in, the loss of all exits out."""

    def __init__(self, net: MultiExitNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, pixel_values: Tensor, labels: Tensor) -> dict[str, Tensor]:
        exits = self.net(pixel_values)
        losses = torch.stack([cross_entropy(logits, labels) for logits in exits])
        return {"loss": losses.mean(), "logits": exits[-1]}


def collate(pairs: list[tuple[Tensor, int]]) -> dict[str, Tensor]:
    images, labels = zip(*pairs, strict=True)
    return {"pixel_values": torch.stack(images), "labels": torch.tensor(labels)}


def train(folder: str, out: str, epochs: int = 20, image_size: int = 96, **arguments: Any) -> None:
    source, split = open_source(folder), SplitSpec()  # 15 % to calibrate on, 15 % to test on
    transform = Transform((image_size, image_size))
    photos = Photos(make_splits(source, split).train, transform)

    net = exeunt.create_model("rex_mobilenetv2_050", num_classes=len(source.class_names))
    with tempfile.TemporaryDirectory() as place:
        settings = TrainingArguments(
            output_dir=place,
            num_train_epochs=epochs,
            per_device_train_batch_size=32,
            dataloader_drop_last=True,
            learning_rate=1e-3,
            save_strategy="no",
            report_to="none",
            remove_unused_columns=False,
            **arguments,
        )
        Trainer(WithLoss(net), settings, data_collator=collate, train_dataset=photos).train()

    clf = exeunt.Classifier(
        net,
        transform=transform,
        class_names=source.class_names,
        split=split,
        data_name=folder,
        data_fingerprint=fingerprint(source.samples),
    )
    clf.save(out)


if __name__ == "__main__":
    train(*sys.argv[1:3])
