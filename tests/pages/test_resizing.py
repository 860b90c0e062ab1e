"""Photographs become the very pixels that `Transform` makes of them."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from exeunt.data import Transform, load_image
from exeunt.page import part_text

PREPARE = """(() => {
  const bytes = Uint8ClampedArray.from(atob("%s"), (character) => character.charCodeAt(0));
  const width = %d, height = %d;
  const rows = (first, count) => bytes.slice(4 * width * first, 4 * width * (first + count));
  return [...resizing.prepare({ width, height, rows }, %s)];
})()"""


@pytest.fixture(scope="module")
def page(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A page of the two scripts alone."""
    scripts = (
        part_text("exeunt.export.web", "page", f"{name}.js") for name in ("resize", "photographs")
    )
    path = tmp_path_factory.mktemp("resizing") / "page.html"
    path.write_text(
        f"<!DOCTYPE html><script>{''.join(scripts)}</script><input type=file id=files multiple>",
        encoding="utf-8",
    )
    browser.open(path)
    yield browser
    assert browser.complaints == []


def noisy(width: int, height: int, seed: int = 0) -> Image.Image:
    """Smooth in places and rough in others, with extremes."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    base = np.sin(x / 7)[..., None] * np.cos(y / 5)[..., None] * rng.uniform(50, 200, 3) + 128
    noise = rng.normal(0, 120, (height, width, 3)) * (x > width / 2)[..., None]
    return Image.fromarray((base + noise).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    ("width", "height"),
    [(112, 112), (113, 111), (40, 300), (500, 333), (1, 1), (3, 700), (97, 64), (1603, 1201)],
)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"interpolation": "bicubic", "crop_fraction": 0.875},
        {"crop_fraction": 0.9, "image_size": (48, 96)},
        {"mode": "L", "interpolation": "bicubic", "image_size": (31, 17)},
    ],
    ids=str,
)
def test_the_same_bytes_as_pillow(
    width: int, height: int, options: dict[str, Any], page: Any
) -> None:
    transform = Transform(**({"image_size": (112, 112)} | options))
    image = noisy(width, height, seed=width)
    text = base64.b64encode(image.convert("RGBA").tobytes()).decode()
    found = page(PREPARE % (text, width, height, _json(transform)))
    wanted = np.asarray(transform.pixels(image)).ravel().tolist()
    assert found == wanted


def _json(transform: Transform) -> str:
    import json

    return json.dumps(transform.to_dict())


def files(folder: Path) -> dict[str, Path]:
    """Lossless photographs of many kinds."""
    image = noisy(210, 140)
    made: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "rgb": (image, {}),
        "grey": (image.convert("L"), {}),
        "palette": (image.quantize(64), {}),
        "opaque": (image.convert("RGBA"), {}),
    }
    turned = Image.Exif()
    turned[0x0112] = 6
    made["turned"] = (image, {"exif": turned})
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ"))
    made["profile"] = (image, {"icc_profile": profile.tobytes()})
    gamma = PngImagePlugin.PngInfo()
    gamma.add(b"gAMA", (100000).to_bytes(4, "big"))
    made["gamma"] = (image, {"pnginfo": gamma})
    clear = image.convert("RGBA")
    clear.putalpha(Image.fromarray(np.asarray(image)[..., 0]))
    made["clear"] = (clear, {})
    paths = {}
    for name, (picture, saved) in made.items():
        paths[name] = folder / f"{name}.png"
        picture.save(paths[name], **saved)
    paths["bmp"] = folder / "bmp.bmp"
    image.save(paths["bmp"])
    paths["webp"] = folder / "lossless.webp"
    image.save(paths["webp"], lossless=True)
    return paths


def test_what_is_lossless_is_decoded_to_the_same_bytes(page: Any, tmp_path: Path) -> None:
    transform = Transform((112, 112))
    paths = files(tmp_path)
    page.give("#files", list(paths.values()))
    found = page(f"""Promise.all([...document.getElementById("files").files].map(async (file) =>
      [...await photographs.pixelsOf(file, {_json(transform)})]))""")
    for (name, path), pixels in zip(paths.items(), found, strict=True):
        wanted = np.asarray(transform.pixels(load_image(path))).ravel().astype(int)
        far = np.abs(wanted - np.array(pixels))
        assert far.max() <= (1 if name == "clear" else 0), f"{name}: {far.max()}, {far.mean()}"


def test_files_that_say_they_are_no_images_are_left_out(page: Any, tmp_path: Path) -> None:
    for name in ("a.png", ".hidden.png", "notes.txt", "b"):
        (tmp_path / name).write_bytes(b"x")
    page.give("#files", sorted(tmp_path.iterdir()))
    left = page(
        "photographs.fromList(document.getElementById('files').files).map((one) => one.file.name)"
    )
    assert left == ["a.png", "b"]
