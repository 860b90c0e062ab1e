"""Networks of convolutions read from ONNX files."""

from __future__ import annotations

from exeunt.backbone.onnx.file import graph_of, image_shape_of
from exeunt.backbone.onnx.graph import OnnxGraph
from exeunt.backbone.onnx.read import network_of, read_onnx

__all__ = ["OnnxGraph", "graph_of", "image_shape_of", "network_of", "read_onnx"]
