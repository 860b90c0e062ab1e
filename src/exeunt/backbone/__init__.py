"""Exits for a network that was not made for them."""

from __future__ import annotations

from exeunt.backbone.attach import attach_exits
from exeunt.backbone.onnx import image_shape_of, read_onnx
from exeunt.backbone.places import Place, even_places, named_places, places_of, stage_places

__all__ = [
    "Place",
    "attach_exits",
    "even_places",
    "image_shape_of",
    "named_places",
    "places_of",
    "read_onnx",
    "stage_places",
]
