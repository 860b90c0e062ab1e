"""A loop in plain torch, and a file that every command of exeunt takes.

python examples/own_loop/plain.py photos mine.safetensors
exeunt eval mine.safetensors photos
"""

from __future__ import annotations

import sys

import torch
from photos import Photos
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

import exeunt
from exeunt.data import SplitSpec, Transform, fingerprint, make_splits, open_source


def train(folder: str, out: str, epochs: int = 20, image_size: int = 96) -> None:
    source, split = open_source(folder), SplitSpec()  # 15 % to calibrate on, 15 % to test on
    transform = Transform((image_size, image_size))
    photos = Photos(make_splits(source, split).train, transform)
    batches = DataLoader(photos, batch_size=32, shuffle=True, drop_last=True)

    net = exeunt.create_model("rex_mobilenetv2_050", num_classes=len(source.class_names))
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    for epoch in range(epochs):
        net.train()
        for images, labels in batches:
            loss = torch.stack([cross_entropy(logits, labels) for logits in net(images)]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1}: loss {loss:.3f}")

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
