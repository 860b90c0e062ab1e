"""How much of a picture its object fills: images and values for a regression.

    python experiments/box_area.py tinyimagenet100_32.npz boxes

The archive holds small JPEGs that share one header (`header`, `body`, `offset`) and, for each, the
box of its object (`box`: x0, y0, x1, y1, inclusive, in 64 x 64 pixels). Writes the images and
`boxes/areas.csv` with the columns file, value (the box's share of the picture) and split; the last
5,000 images are the test split, as in the archive.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np

TEST_IMAGES = 5_000


def main(archive: Path, out: Path) -> None:
    stored = np.load(archive)  # arrays alone: numpy unpickles nothing unless it is told to
    header, body, offset = stored["header"].tobytes(), stored["body"].tobytes(), stored["offset"]
    left, top, right, bottom = stored["box"].astype(int).T
    areas = (right - left + 1) * (bottom - top + 1) / 64**2
    (out / "images").mkdir(parents=True, exist_ok=True)
    with (out / "areas.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "value", "split"])
        for i, area in enumerate(areas):
            name = f"images/{i:05}.jpg"
            (out / name).write_bytes(header + body[offset[i] : offset[i + 1]])
            writer.writerow([name, area, "test" if i >= len(areas) - TEST_IMAGES else "train"])


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
