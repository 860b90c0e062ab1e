"""Which sizes a network may be evaluated at that was trained at 64 pixels.

    python experiments/evaluation_size.py imagenette128 [--epochs 6]

Trains MobileNetV2 at width 0.5, plain and with the paper's ReX, and prints what every exit gets
right at other sizes, on calibration images. Strides halve the map five times. Where a side is odd
on the way, the last columns of strided convolutions see padding that they have not met in training.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

import exeunt
from exeunt.evaluate import scores
from exeunt.text import aligned

SIZES = (64, 72, 80, 88, 96, 112, 128)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--epochs", type=int, default=6)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    paper = {"rex_form": "paper"}
    for model, arguments in (("mobilenetv2_050", {}), ("rex_mobilenetv2_050", paper)):
        out = Path(tempfile.mkdtemp())
        settings = {"image_size": 64, "epochs": chosen.epochs, "optimizer": "adamw"}
        clf = exeunt.train(
            chosen.data,
            out / "run",
            model=model,
            model_args=arguments,
            calibration_fraction=0.25,
            **settings,
        )
        rows = [("size", "right at exits 1 ... 6, %")]
        for size in SIZES:
            clf.trained = replace(
                clf.trained, transform=replace(clf.transform, image_size=(size, size))
            )
            right = scores.right_classes(clf.record(chosen.data, "calibration"))
            shares = 100 * right.double().mean(dim=1)
            rows.append((str(size), " ".join(f"{share:.1f}" for share in shares.tolist())))
        print(model, *aligned(rows, "rl"), sep="\n", flush=True)
        shutil.rmtree(out)


if __name__ == "__main__":
    main()
