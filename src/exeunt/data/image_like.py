"""Images in whatever form Python programs have them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from exeunt.data.decode import UnreadableImage, decode, load_image, refusal
from exeunt.errors import ExeuntError

ImageLike: TypeAlias = str | Path | Image.Image | NDArray[np.uint8] | Tensor | Mapping[str, Any]
"""A file, a PIL image, uint8 pixels as an array (H, W, C) or (H, W) or as a tensor (C, H, W) or
(H, W) with C = 1 or 3, or what Hugging Face `datasets` has without decoding it:
`{"bytes": ..., "path": ...}`."""


def open_image(image: ImageLike) -> Image.Image:
    """An image from whatever holds one, decoded.

    Raises:
        UnreadableImage: when what should be an image cannot be decoded.
        ExeuntError: for what holds no image.
    """
    if isinstance(image, Image.Image):
        return _decoded(image)
    if isinstance(image, (str, Path)):
        return load_image(image)
    if isinstance(image, Mapping):
        return _stored(image)
    if isinstance(image, Tensor):
        pixels = image.detach().cpu().numpy()
        if pixels.ndim == 3:
            pixels = pixels.transpose(1, 2, 0)
        kind, shapes = "tensor", "(C, H, W) or (H, W)"
    elif isinstance(image, np.ndarray):
        pixels, kind, shapes = image, "array", "(H, W, C) or (H, W)"
    else:
        raise ExeuntError(
            f"an object of type {type(image).__name__}; give a file, a PIL image, or uint8 pixels"
        )
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    channels = pixels.shape[2:] in ((), (3,))
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or not channels or not pixels.size:
        raise ExeuntError(
            f"{'an' if kind == 'array' else 'a'} {kind} of {pixels.dtype} and shape "
            f"{tuple(image.shape)}; give uint8 {shapes} of 1 or 3 channels, as they are before any "
            "scaling (no ToTensor)"
        )
    return Image.fromarray(np.ascontiguousarray(pixels))


def _decoded(image: Image.Image) -> Image.Image:
    """An image of PIL, which may not have read its file yet."""
    name = str(getattr(image, "filename", "") or "an image of PIL")
    try:
        image.load()
    except Exception as error:  # on bad bytes the decoders raise almost anything
        raise UnreadableImage(name, f"a damaged or cut off image ({error})") from error
    if reason := refusal(image):
        raise UnreadableImage(name, reason)
    return image


def _stored(image: Mapping[str, Any]) -> Image.Image:
    content, path = image.get("bytes"), image.get("path")
    if isinstance(content, bytes):
        return decode(io.BytesIO(content), str(path or "an image"))
    if isinstance(path, str):
        return load_image(path)
    raise ExeuntError(
        f"a dict of {', '.join(map(repr, image)) or 'nothing'}; an image that is not decoded has "
        "'bytes' or a 'path'"
    )
