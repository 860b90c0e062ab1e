from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

COLOURS = {"blue": (40, 60, 200), "green": (50, 180, 60), "red": (200, 50, 40)}


def draw(path: Path, colour: tuple[int, int, int], seed: int) -> None:
    """A noisy patch of one colour, 32 px."""
    rng = np.random.default_rng(seed)
    pixels = np.array(colour) + rng.normal(0, 25, (32, 32, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three easy classes: 24 training and 8 test images each."""
    root = tmp_path_factory.mktemp("colours")
    for c, (name, colour) in enumerate(COLOURS.items()):
        for i in range(24):
            draw(root / "train" / name / f"{i}.png", colour, 100 * c + i)
        for i in range(8):
            draw(root / "val" / name / f"{i}.png", colour, 1000 + 100 * c + i)
    return root


@pytest.fixture(scope="session")
def brightness(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grey patches and how bright they are, as a CSV."""
    root = tmp_path_factory.mktemp("brightness")
    lines = ["file,value"]
    for i in range(60):
        value = 30 + 3 * i
        draw(root / "images" / f"{i}.png", (value, value, value), i)
        lines.append(f"images/{i}.png,{value / 100}")
    (root / "values.csv").write_text("\n".join(lines) + "\n")
    return root / "values.csv"
