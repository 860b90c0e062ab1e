"""By how many degrees a digit was turned: images and values for a regression.

    python experiments/rotated_digits.py mnist.npz digits

The archive holds MNIST's images, `X` (N, 28, 28) uint8, of which the first `n_train` are to train
on. Each of the digits that are taken is turned counter-clockwise by an angle between -60 and 60
degrees, drawn from a seeded generator. Writes the images and `digits/angles.csv` with the columns
file, value (the angle) and split.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image

TRAIN, TEST = 15_000, 3_000
LARGEST_ANGLE = 60.0


def main(archive: Path, out: Path) -> None:
    stored = np.load(archive)
    first_test = int(stored["n_train"])
    taken = [("train", i) for i in range(TRAIN)]
    taken += [("test", first_test + i) for i in range(TEST)]
    angles = np.random.default_rng(0).uniform(-LARGEST_ANGLE, LARGEST_ANGLE, len(taken))
    digits = stored["X"]
    (out / "images").mkdir(parents=True, exist_ok=True)
    with (out / "angles.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "value", "split"])
        for (split, i), angle in zip(taken, angles.round(2), strict=True):
            name = f"images/{i:05}.png"
            turned = Image.fromarray(digits[i]).rotate(angle, Image.Resampling.BICUBIC)
            turned.save(out / name)
            writer.writerow([name, angle, split])


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
