"""The images of the experiments, from a folder that has the sets as they are published.

Small scale: `imagenette128` (Imagenette, 128 pixels), `everyday64` (ten classes, 64 pixels), and
archives of JPEG files, `cifar10_jpeg.npz` and `tinyimagenet100_32.npz`. The scale of the papers:
`imagenet` and `wake_words`, folders of class folders.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from exeunt import LabelledImages
from exeunt.errors import ExeuntError

PERSON = "person"
OTHERS = {"train": 200, "val": 22}  # of each other class, so that half of the images show people


class Jpegs:
    """The images of an archive, decoded when they are asked for.

    It holds `header` and `body`, bytes of JPEG files that begin alike, `offset` (N+1) into the
    body, and `label` (N).
    """

    def __init__(self, archive: Path, part: slice) -> None:
        stored = np.load(archive)
        self._header, self._body = stored["header"].tobytes(), stored["body"].tobytes()
        self._starts = stored["offset"]
        self._rows = range(len(self._starts) - 1)[part]
        self._labels = stored["label"]
        self.classes = [str(name) for name in stored["names"]] if "names" in stored else CIFAR10

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        row = self._rows[index]
        content = self._header + self._body[self._starts[row] : self._starts[row + 1]]
        return Image.open(io.BytesIO(content)).convert("RGB"), int(self._labels[row])


CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


class People:
    """Of ten everyday classes: is it a person? Half of the images are."""

    classes = ("no person", PERSON)

    def __init__(self, pool: Path) -> None:
        self._files = [
            (file, int(folder.name == PERSON))
            for folder in sorted(pool.iterdir())
            for file in sorted(folder.iterdir())[
                : None if folder.name == PERSON else OTHERS[pool.name]
            ]
        ]

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> tuple[str, int]:
        file, label = self._files[index]
        return str(file), label


def _archive(name: str, train: int) -> Callable[[Path], Any]:
    def opened(root: Path) -> LabelledImages:
        file = root / name
        parts = Jpegs(file, slice(0, train)), Jpegs(file, slice(train, None))
        return LabelledImages(*parts, name=file.stem)

    return opened


def _people(root: Path) -> LabelledImages:
    pools = (People(root / "everyday64" / pool) for pool in ("train", "val"))
    return LabelledImages(*pools, name="people of everyday64")


def _folder(name: str) -> Callable[[Path], Any]:
    return lambda root: root / name


SETS: dict[str, Callable[[Path], Any]] = {
    **{name: _folder(name) for name in ("imagenette128", "imagenet", "wake_words")},
    "digits": _folder("digits/angles.csv"),
    "people": _people,
    "cifar10": _archive("cifar10_jpeg.npz", 50_000),
    "tinyimagenet100": _archive("tinyimagenet100_32.npz", 50_000),
}
"""By name, from the folder that holds all."""


def open_set(name: str, root: Path) -> Any:
    """DATA, as `exeunt.train` takes it.

    Raises:
        ExeuntError: when the folder lacks it.
    """
    try:
        found = SETS[name](root)
    except OSError as error:
        raise ExeuntError(f"{root}: no images of {name!r} ({error})") from error
    if isinstance(found, Path) and not found.exists():
        raise ExeuntError(f"{root}: no {found.relative_to(root)}")
    return found
