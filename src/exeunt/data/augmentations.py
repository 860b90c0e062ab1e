"""Augmentations by name: what else may be done to a training image, after its crop and mirroring.

One is any callable from an image and a random generator to another image of the same size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar, overload

import numpy as np
from PIL import Image

from exeunt.errors import ExeuntError
from exeunt.registry import Registry, registering

Augmentation: TypeAlias = Callable[[Image.Image, np.random.Generator], Image.Image]
"""From an image, in the mode and size of the net's input, by the draws of the generator."""

AugmentationT = TypeVar("AugmentationT", bound=Augmentation)

AUGMENTATIONS: Registry[Augmentation] = Registry("augmentation")


@overload
def register_augmentation(
    augmentation: AugmentationT, *, name: str | None = None
) -> AugmentationT: ...
@overload
def register_augmentation(
    augmentation: None = None, *, name: str | None = None
) -> Callable[[AugmentationT], AugmentationT]: ...
def register_augmentation(augmentation: Any = None, *, name: str | None = None) -> Any:
    """Makes an augmentation known under its function's name, or under `name`, to recipes and
    `exeunt train --augment`. Usable as a decorator. `exeunt.check_augmentation` tests it.

    All chance must come from the generator that it is given: a run then repeats, on any number of
    loading processes.

    Raises:
        ExeuntError: when the name is taken or is none.
    """
    return registering(AUGMENTATIONS, augmentation, name)


def augmented(
    augmentation: Augmentation, image: Image.Image, rng: np.random.Generator
) -> Image.Image:
    """What an augmentation makes of an image.

    Raises:
        ExeuntError: when that is no image, or one of another mode or size.
    """
    made: object = augmentation(image, rng)
    if isinstance(made, Image.Image) and (made.mode, made.size) == (image.mode, image.size):
        return made
    name = getattr(augmentation, "__name__", type(augmentation).__name__)
    what = _described(made) if isinstance(made, Image.Image) else type(made).__name__
    raise ExeuntError(f"augmentation {name} made {what}; give back {_described(image)}")


def check_augmentation(augmentation: Augmentation) -> None:
    """Tests what an augmentation must do, on grey and coloured images.

    It gives back an image of the same mode and size, the same one from the same random state, and
    leaves the one it was given alone.

    Args:
        augmentation: the one to test.

    Raises:
        AssertionError: a rule is broken; the message says which.
    """
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    for mode in ("RGB", "L"):
        image = Image.fromarray(pixels).convert(mode)
        before = image.tobytes()
        made = []
        for _ in range(2):
            state = _global_state()
            try:
                made.append(augmented(augmentation, image, np.random.default_rng(1)).tobytes())
            except ExeuntError as error:
                raise AssertionError(str(error)) from error
            untouched = _global_state() == state
            assert untouched, "draws from numpy's global state; draw from the generator it is given"
            assert image.tobytes() == before, f"changes the {mode} image that it is given"
        assert made[0] == made[1], (
            f"makes two different {mode} images of one, from the same random state: "
            "draw from the generator alone"
        )


def _global_state() -> tuple[object, ...]:
    """Of numpy: its numbers, which of them is next, and half of a pair of normal ones."""
    _, numbers, *rest = np.random.get_state(legacy=True)
    return numbers.tobytes(), *rest  # type: ignore[union-attr]


def _described(image: Image.Image) -> str:
    return f"an image of mode {image.mode}, {image.width} x {image.height}"
