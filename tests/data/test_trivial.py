"""TrivialAugment against naive operations, its ranges and draws; callables that are seeded."""

from __future__ import annotations

import math
import random
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from exeunt.data import Augment, Transform
from exeunt.data.augment import Seeded
from exeunt.data.trivial import SIGNED, UNSIGNED, trivial_augment
from exeunt.errors import ExeuntError

RAW = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
PIXELS = np.random.default_rng(0).integers(0, 256, (11, 11, 3), dtype=np.uint8)


def applied(name: str, strength: float) -> np.ndarray:
    _, operation = (SIGNED | UNSIGNED)[name]
    return np.asarray(operation(Image.fromarray(PIXELS), strength))


def sheared(across: float, down: float) -> np.ndarray:
    """Every pixel from where its centre comes from; black from outside."""
    out = np.zeros_like(PIXELS)
    for y in range(11):
        for x in range(11):
            from_x = math.floor(x + 0.5 + across * (y + 0.5))
            from_y = math.floor(y + 0.5 + down * (x + 0.5))
            if 0 <= from_x < 11 and 0 <= from_y < 11:
                out[y, x] = PIXELS[from_y, from_x]
    return out


@pytest.mark.parametrize("strength", [0.99, 0.3, -0.3])
def test_shears(strength: float) -> None:
    assert np.array_equal(applied("ShearX", strength), sheared(strength, 0))
    assert np.array_equal(applied("ShearY", strength), sheared(0, strength))


def test_translations_and_turns() -> None:
    right = np.zeros_like(PIXELS)
    right[:, 3:] = PIXELS[:, :-3]
    assert np.array_equal(applied("TranslateX", 3.2), right), "whole pixels"
    up = np.zeros_like(PIXELS)
    up[:-3] = PIXELS[3:]
    assert np.array_equal(applied("TranslateY", -3.2), up)
    assert np.array_equal(applied("Rotate", 90.0), np.rot90(PIXELS))


def test_values() -> None:
    assert np.array_equal(applied("Posterize", 6.0), PIXELS & 0b11000000)
    assert np.array_equal(applied("Posterize", 0.4), PIXELS)
    assert np.array_equal(applied("Solarize", 255.0), 255 - PIXELS)
    turned = np.where(PIXELS < 155, PIXELS, 255 - PIXELS)
    assert np.array_equal(applied("Solarize", 100.0), turned)
    brighter = np.floor(PIXELS * 1.5).clip(0, 255)
    assert np.abs(applied("Brightness", 0.5) - brighter).max() <= 1
    grey = np.asarray(Image.fromarray(PIXELS).convert("L"))[..., None]
    saturated = (grey + 0.25 * (PIXELS.astype(float) - grey)).clip(0, 255)
    assert np.abs(applied("Color", -0.75) - saturated).max() <= 1
    assert np.array_equal(applied("Identity", 0.0), PIXELS)
    low, high = PIXELS.min((0, 1)).astype(float), PIXELS.max((0, 1))
    stretched = (PIXELS - low) * 255 / (high - low)
    assert np.abs(applied("AutoContrast", 0.0) - stretched).max() <= 1


def test_every_operation_strength_and_sign_is_as_likely(monkeypatch: pytest.MonkeyPatch) -> None:
    """14 operations, 31 strengths from nothing to the wide set's strongest."""
    strongest = {
        **{"Identity": 0, "ShearX": 0.99, "ShearY": 0.99, "TranslateX": 32, "TranslateY": 32},
        **{"Rotate": 135, "Brightness": 0.99, "Color": 0.99, "Contrast": 0.99, "Sharpness": 0.99},
        **{"Posterize": 6, "Solarize": 255, "AutoContrast": 0, "Equalize": 0},
    }
    met: list[tuple[str, float]] = []
    for table in (SIGNED, UNSIGNED):
        for name, (most, _) in table.items():

            def noted(image: Image.Image, strength: float, name: str = name) -> Image.Image:
                met.append((name, strength))
                return image

            monkeypatch.setitem(table, name, (most, noted))
    rng, image = np.random.default_rng(1), Image.fromarray(PIXELS)
    for _ in range(14_000):
        trivial_augment(image, rng)
    counts = Counter(name for name, _ in met)
    assert counts.keys() == strongest.keys()
    assert all(850 < count < 1150 for count in counts.values()), counts
    for name, most in strongest.items():
        strengths = {round(s, 9) for n, s in met if n == name}
        signs = (1, -1) if name in SIGNED else (1,)
        assert strengths == {round(sign * most * k / 30, 9) for k in range(31) for sign in signs}


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_it_is_part_of_the_training_transform(mode: str) -> None:
    transform = Transform((9, 9), mode=mode)
    image = Image.fromarray(PIXELS).resize((30, 20))
    plain = Augment(transform)
    augment = Augment(transform, augmentation=trivial_augment)
    one, same, other = (augment(image, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert one.shape == (transform.channels, 9, 9)
    assert not torch.equal(one, other)
    differ = [
        not torch.equal(*(a(image, np.random.default_rng(seed)) for a in (plain, augment)))
        for seed in range(20)
    ]
    assert sum(differ) > 10, "the crops are the same, most of the images are not"


def noisy(image: Image.Image) -> Image.Image:
    """Draws from every generator that such a callable may use."""
    shift = random.randrange(50) + int(np.random.randint(50)) + int(torch.randint(50, ()))
    return Image.fromarray(np.asarray(image) // 2 + np.uint8(shift))


def test_a_callable_draws_from_the_seed_and_leaves_generators_alone() -> None:
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    expected = random.random(), np.random.random(), torch.rand(()).item()
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    augment = Augment(Transform((8, 8), **RAW), augmentation=Seeded(noisy))
    image = Image.fromarray(PIXELS)
    results = [augment(image, np.random.default_rng(seed)) for seed in (0, 0, 1, 2)]
    assert (random.random(), np.random.random(), torch.rand(()).item()) == expected
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[2], results[3])


def test_what_a_callable_gives_must_be_such_an_image() -> None:
    image, rng = Image.fromarray(PIXELS), np.random.default_rng(0)
    grey = Seeded(lambda image: image.convert("L"))(image, rng)
    assert grey.mode == "RGB"
    with pytest.raises(ExeuntError, match="gave a ndarray; it must give a PIL image"):
        Seeded(np.asarray)(image, rng)  # type: ignore[arg-type]
    with pytest.raises(ExeuntError, match="gave 5 x 11 pixels for 11 x 11; the size must stay"):
        Seeded(lambda image: image.resize((5, 11)))(image, rng)
