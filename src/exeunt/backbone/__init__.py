"""Exits for a network that was not made for them."""

from __future__ import annotations

from exeunt.backbone.attach import attach_exits
from exeunt.backbone.onnx import OnnxGraph, graph_of, image_shape_of, network_of, read_onnx
from exeunt.backbone.places import Place, even_places, named_places, places_of, stage_places

__all__ = [
    "OnnxGraph",
    "Place",
    "attach_exits",
    "even_places",
    "graph_of",
    "image_shape_of",
    "named_places",
    "network_of",
    "places_of",
    "read_onnx",
    "stage_places",
]
