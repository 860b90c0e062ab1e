"""Images in whatever form Python programs have them."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from exeunt.data.decode import load_image
from exeunt.errors import ExeuntError

ImageLike: TypeAlias = str | Path | Image.Image | NDArray[np.uint8]
"""A file, a PIL image, or the bytes of one, (H, W, 3) or (H, W)."""


def open_image(image: ImageLike) -> Image.Image:
    """An image from whatever holds one.

    Raises:
        UnreadableImage: when a file cannot be decoded.
        ExeuntError: for an array that holds no image.
    """
    if isinstance(image, Image.Image):
        return image
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim not in (2, 3):
            raise ExeuntError(
                f"an array of {image.dtype} and shape {image.shape}; give uint8 (H, W, 3) or (H, W)"
            )
        return Image.fromarray(image)
    return load_image(image)
